# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"
"""Kernels for the two halves of linear attention, 16 positions of a feature map at a time.

Neither the scores q and k nor their softmaxes, which are an image's largest tensors, are ever kept:
they are computed again for the gradients, where they are in the cache.

All arrays are contiguous and one-dimensional, of single precision. `tokens` are the features of
each image, (B, C, P), with P positions, a multiple of `LANES`; an array of the size of a matrix
(F, C) has F = 128 rows, four heads of 32. `first` and `last` are the images to go through.
"""

import math

import numpy as np

from qhybrid_runtime.engine.cpu.compiler import compiled, kernel
from qhybrid_runtime.engine.cpu.lanes import (
    LANES,
    exp,
    largest,
    load,
    maximum,
    splat,
    splat_from,
    sqrt,
    store,
    total,
)


@kernel
def four_rows(matrix, at, channels, tokens, vector, stride):
    """Return rows `at`... `at` + 3 of matrix times tokens, for the positions of one vector."""
    a, b, c = at + channels, at + 2 * channels, at + 3 * channels
    token = load(tokens, vector)
    r0, r1 = splat_from(matrix, at) * token, splat_from(matrix, a) * token
    r2, r3 = splat_from(matrix, b) * token, splat_from(matrix, c) * token
    for k in range(1, channels):
        token = load(tokens, vector + k * stride)
        r0 += splat_from(matrix, at + k) * token
        r1 += splat_from(matrix, a + k) * token
        r2 += splat_from(matrix, b + k) * token
        r3 += splat_from(matrix, c + k) * token
    return r0, r1, r2, r3


@kernel
def add_rows(matrix, at, channels, rows, result, vector, stride):
    """Add what four rows of a transposed matrix give of four vectors to (C, P), at one vector."""
    a, b, c = at + channels, at + 2 * channels, at + 3 * channels
    r0, r1, r2, r3 = rows
    for k in range(channels):
        added = load(result, vector + k * stride)
        added += splat_from(matrix, at + k) * r0
        added += splat_from(matrix, a + k) * r1
        added += splat_from(matrix, b + k) * r2
        added += splat_from(matrix, c + k) * r3
        store(result, vector + k * stride, added)


@kernel
def store_rows(rows, row, stride, values, vector):
    """Write one vector of four rows."""
    store(rows, row * stride + vector, values[0])
    store(rows, (row + 1) * stride + vector, values[1])
    store(rows, (row + 2) * stride + vector, values[2])
    store(rows, (row + 3) * stride + vector, values[3])


@kernel
def load_rows(rows, row, stride, vector):
    """Return one vector of four rows."""
    return (
        load(rows, row * stride + vector),
        load(rows, (row + 1) * stride + vector),
        load(rows, (row + 2) * stride + vector),
        load(rows, (row + 3) * stride + vector),
    )


@kernel
def over_positions(rows, row, tokens, base, stride, channels, matrix, at):
    """Write sums over all positions of four rows times each of the channels, (4, C)."""
    for k in range(channels):
        s0 = splat(np.float32(0))
        s1, s2, s3 = s0, s0, s0
        for vector in range(stride):
            r0, r1, r2, r3 = load_rows(rows, row, stride, vector)
            token = load(tokens, base + k * stride + vector)
            s0 += r0 * token
            s1 += r1 * token
            s2 += r2 * token
            s3 += r3 * token
        matrix[at + k], matrix[at + channels + k] = total(s0), total(s1)
        matrix[at + 2 * channels + k], matrix[at + 3 * channels + k] = total(s2), total(s3)


@compiled
def standardize(x, channels, stride, result, rates, first, last):
    """Write x with mean 0 and variance 1 over the channels of each position, and (B, P) rates.

    The rates are 1 / sqrt(variance + 1e-5), as in torch's layer normalization; x and the result are
    (B, C, P), and `stride` is P / LANES.
    """
    share = splat(np.float32(1 / channels))
    for image in range(first, last):
        base = image * channels * stride
        for vector in range(base, base + stride):
            mean = load(x, vector)
            for k in range(1, channels):
                mean += load(x, vector + k * stride)
            mean = mean * share
            variance = splat(np.float32(0))
            for k in range(channels):
                value = load(x, vector + k * stride) - mean
                variance += value * value
            rate = splat(np.float32(1)) / sqrt(variance * share + splat(np.float32(1e-5)))
            store(rates, image * stride + vector - base, rate)
            for k in range(channels):
                place = vector + k * stride
                store(result, place, (load(x, place) - mean) * rate)


@compiled
def standardize_back(result, rates, channels, stride, gradient, by_x, first, last):
    """Write the gradient of `standardize` by x, given that by its result."""
    share = splat(np.float32(1 / channels))
    for image in range(first, last):
        base = image * channels * stride
        for vector in range(base, base + stride):
            mean = splat(np.float32(0))
            along = mean
            for k in range(channels):
                place = vector + k * stride
                mean += load(gradient, place)
                along += load(gradient, place) * load(result, place)
            mean, along = mean * share, along * share
            rate = load(rates, image * stride + vector - base)
            for k in range(channels):
                place = vector + k * stride
                value = load(gradient, place) - mean - along * load(result, place)
                store(by_x, place, value * rate)


@compiled
def summarize(tokens, matrix, padding, channels, sums, logarithms, first, last):
    """Write tokens averaged with the softmax over positions of each score, (B, F, C).

    `padding` (P,) is 0 where there is a position and very negative elsewhere. The softmaxes are
    exp(score - logarithm), with logarithms (B, F).
    """
    stride = len(padding) // LANES
    features = len(matrix) // channels
    rows = np.empty(4 * len(padding), np.float32)
    for image in range(first, last):
        base = image * channels * stride
        for feature in range(0, features, 4):
            at, number = feature * channels, image * features + feature
            m0 = splat(np.float32(-np.inf))
            m1, m2, m3 = m0, m0, m0
            for vector in range(stride):
                r0, r1, r2, r3 = four_rows(matrix, at, channels, tokens, base + vector, stride)
                outside = load(padding, vector)
                r0, r1, r2, r3 = r0 + outside, r1 + outside, r2 + outside, r3 + outside
                store_rows(rows, 0, stride, (r0, r1, r2, r3), vector)
                m0, m1, m2, m3 = maximum(m0, r0), maximum(m1, r1), maximum(m2, r2), maximum(m3, r3)
            t0, t1, t2, t3 = largest(m0), largest(m1), largest(m2), largest(m3)
            s0 = splat(np.float32(0))
            s1, s2, s3 = s0, s0, s0
            for vector in range(stride):
                r0, r1, r2, r3 = load_rows(rows, 0, stride, vector)
                r0, r1 = exp(r0 - splat(t0)), exp(r1 - splat(t1))
                r2, r3 = exp(r2 - splat(t2)), exp(r3 - splat(t3))
                store_rows(rows, 0, stride, (r0, r1, r2, r3), vector)
                s0 += r0
                s1 += r1
                s2 += r2
                s3 += r3
            over_positions(rows, 0, tokens, base, stride, channels, sums, number * channels)
            for row, (top, whole) in enumerate(
                ((t0, total(s0)), (t1, total(s1)), (t2, total(s2)), (t3, total(s3)))
            ):
                logarithms[number + row] = top + math.log(whole)
                for k in range((number + row) * channels, (number + row + 1) * channels):
                    sums[k] /= whole


@compiled
def summarize_back(
    tokens, matrix, padding, channels, sums, logarithms, gradient, by_tokens, by_matrix, first, last
):
    """Add gradients of `summarize` by tokens, and write those by the matrix of each image.

    Args:
        gradient: By the sums, (B, F, C).
        by_tokens: To be added to, (B, C, P).
        by_matrix: (B, F, C).
        tokens, matrix, padding, channels, sums, logarithms, first, last: Those of `summarize`.
    """
    stride = len(padding) // LANES
    features = len(matrix) // channels
    rows = np.empty(4 * len(padding), np.float32)
    means = np.empty(4, np.float32)
    for image in range(first, last):
        base = image * channels * stride
        for feature in range(0, features, 4):
            at, number = feature * channels, image * features + feature
            for row in range(4):
                mean = np.float32(0)
                for k in range((number + row) * channels, (number + row + 1) * channels):
                    mean += gradient[k] * sums[k]
                means[row] = mean
            for vector in range(stride):
                outside = load(padding, vector)
                r0, r1, r2, r3 = four_rows(matrix, at, channels, tokens, base + vector, stride)
                p0 = exp(r0 + outside - splat_from(logarithms, number))
                p1 = exp(r1 + outside - splat_from(logarithms, number + 1))
                p2 = exp(r2 + outside - splat_from(logarithms, number + 2))
                p3 = exp(r3 + outside - splat_from(logarithms, number + 3))
                r0, r1, r2, r3 = four_rows(
                    gradient, number * channels, channels, tokens, base + vector, stride
                )
                d0, d1 = p0 * (r0 - splat_from(means, 0)), p1 * (r1 - splat_from(means, 1))
                d2, d3 = p2 * (r2 - splat_from(means, 2)), p3 * (r3 - splat_from(means, 3))
                store_rows(rows, 0, stride, (d0, d1, d2, d3), vector)
                by_scores, weights = (d0, d1, d2, d3), (p0, p1, p2, p3)
                add_rows(matrix, at, channels, by_scores, by_tokens, base + vector, stride)
                add_rows(
                    gradient, number * channels, channels, weights, by_tokens, base + vector, stride
                )
            over_positions(rows, 0, tokens, base, stride, channels, by_matrix, number * channels)


@kernel
def normalize(rows, count, stride, vector):
    """Replace one vector of `count` rows by its softmax over the rows."""
    top = load(rows, vector)
    for row in range(1, count):
        top = maximum(top, load(rows, row * stride + vector))
    whole = splat(np.float32(0))
    for row in range(count):
        value = exp(load(rows, row * stride + vector) - top)
        whole += value
        store(rows, row * stride + vector, value)
    share = splat(np.float32(1)) / whole
    for row in range(count):
        store(rows, row * stride + vector, load(rows, row * stride + vector) * share)


@compiled
def distribute(tokens, matrix, context, channels, positions, head, result, first, last):
    """Add each context's row times the softmax over its head's scores to the result (B, C, P).

    Args:
        tokens, matrix, channels, first, last: As in `summarize`.
        context: (B, F, C).
        positions: P.
        head: Features of a head.
        result: (B, C, P), zero at first.
    """
    stride = positions // LANES
    features = len(matrix) // channels
    rows = np.empty(head * LANES, np.float32)
    for image in range(first, last):
        base, number = image * channels * stride, image * features
        for vector in range(base, base + stride):
            for start in range(0, features, head):
                for row in range(0, head, 4):
                    at = (start + row) * channels
                    four = four_rows(matrix, at, channels, tokens, vector, stride)
                    store_rows(rows, row, 1, four, 0)
                normalize(rows, head, 1, 0)
                for row in range(0, head, 4):
                    at = (number + start + row) * channels
                    four = load_rows(rows, row, 1, 0)
                    add_rows(context, at, channels, four, result, vector, stride)


@compiled
def distribute_back(
    tokens,
    matrix,
    context,
    channels,
    positions,
    head,
    gradient,
    by_tokens,
    by_matrix,
    by_context,
    first,
    last,
):
    """Add gradients of `distribute` by tokens, and write those of each image by both matrices.

    Args:
        gradient: By the result, (B, C, P).
        by_tokens: To be added to, (B, C, P).
        by_matrix, by_context: (B, F, C).
        tokens, matrix, context, channels, positions, head, first, last: Those of `distribute`.
    """
    stride = positions // LANES
    features = len(matrix) // channels
    shares = np.empty(head * positions, np.float32)
    by_scores = np.empty(head * positions, np.float32)
    for image in range(first, last):
        base, number = image * channels * stride, image * features
        for start in range(0, features, head):
            at, own = start * channels, (number + start) * channels
            for vector in range(stride):
                for row in range(0, head, 4):
                    below = row * channels
                    four = four_rows(matrix, at + below, channels, tokens, base + vector, stride)
                    store_rows(shares, row, stride, four, vector)
                    four = four_rows(
                        context, own + below, channels, gradient, base + vector, stride
                    )
                    store_rows(by_scores, row, stride, four, vector)
                normalize(shares, head, stride, vector)
                mean = load(shares, vector) * load(by_scores, vector)
                for row in range(1, head):
                    place = row * stride + vector
                    mean += load(shares, place) * load(by_scores, place)
                for row in range(head):
                    place = row * stride + vector
                    store(by_scores, place, load(shares, place) * (load(by_scores, place) - mean))
                for row in range(0, head, 4):
                    four = load_rows(by_scores, row, stride, vector)
                    below = at + row * channels
                    add_rows(matrix, below, channels, four, by_tokens, base + vector, stride)
            for row in range(0, head, 4):
                below = own + row * channels
                over_positions(by_scores, row, tokens, base, stride, channels, by_matrix, below)
                over_positions(shares, row, gradient, base, stride, channels, by_context, below)
