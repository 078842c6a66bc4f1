# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"
"""Kernels for 3x3 convolutions that keep the size, 16 positions of a feature map at a time.

An image is laid out with a border of zeros, row after row. A convolution is then a sum of nine
shifted copies of that one array, and is computed over vectors that know nothing of rows: at two
places of each row, where they run over the border, they compute what nobody reads.

All arrays are contiguous and one-dimensional, of single precision; `x` are images (B, C, H, W).
"""

import numpy as np

from qhybrid_runtime.engine.cpu.compiler import compiled, kernel
from qhybrid_runtime.engine.cpu.lanes import LANES, load_from, splat, splat_from, store_from, total

#: Outputs that are computed at once: their sums, two AVX2 registers each, leave six registers.
BLOCK = 5


@kernel
def distances(height, width):
    """Return how many numbers lie from row to row, in all rows, and from channel to channel.

    Rows have width + 2 numbers, and the `height` of them are filled up to whole vectors. Channels
    with a border have two rows and two numbers more.
    """
    stride = width + 2
    across = -(-height * stride // LANES) * LANES
    return stride, across, across + 2 * stride + 2


@kernel
def copy_row(source, start, count, target, place, end):
    """Copy `count` numbers, by vectors where nothing but what comes before `end` is overwritten.

    What the last vector writes too far is to be written afterwards.
    """
    k = 0
    while k < count and place + k + LANES <= end and start + k + LANES <= len(source):
        store_from(target, place + k, load_from(source, start + k))
        k += LANES
    while k < count:
        target[place + k] = source[start + k]
        k += 1


@kernel
def lay_out(x, image, channels, height, width, target, place, plane):
    """Copy an image from `place` on, two zeros after each row, `plane` numbers for a channel."""
    start = image * channels * height * width
    for c in range(channels):
        at = place + c * plane
        end = at + height * (width + 2)
        for _ in range(height):
            copy_row(x, start, width, target, at, end - 2)
            target[at + width] = 0
            target[at + width + 1] = 0
            start += width
            at += width + 2


@kernel
def sum_shifted(padded, start, channels, plane, stride, weights, bias, output, rows, across):
    """Write `BLOCK` outputs at one vector of positions."""
    s0, s1 = splat_from(bias, output), splat_from(bias, output + 1)
    s2, s3 = splat_from(bias, output + 2), splat_from(bias, output + 3)
    s4 = splat_from(bias, output + 4)
    at = output * channels * 9
    for c in range(channels):
        place = c * plane + start
        for _ in range(3):
            for k in range(3):
                value = load_from(padded, place + k)
                s0 += splat_from(weights, at) * value
                s1 += splat_from(weights, at + 1) * value
                s2 += splat_from(weights, at + 2) * value
                s3 += splat_from(weights, at + 3) * value
                s4 += splat_from(weights, at + 4) * value
                at += BLOCK
            place += stride
    place = output * across + start
    store_from(rows, place, s0)
    store_from(rows, place + across, s1)
    store_from(rows, place + 2 * across, s2)
    store_from(rows, place + 3 * across, s3)
    store_from(rows, place + 4 * across, s4)


@compiled
def convolve(x, weights, bias, sizes, result, first, last):
    """Write the convolutions of images `first` to `last`.

    Args:
        x: As for all kernels.
        weights: (blocks of outputs, C, 3, 3, BLOCK).
        bias: As many as all blocks have outputs.
        sizes: C, outputs, H, W.
        result: (B, outputs, H, W).
        first, last: Images.
    """
    channels, outputs, height, width = sizes
    stride, across, plane = distances(height, width)
    padded = np.zeros(channels * plane, np.float32)
    rows = np.empty(len(bias) * across, np.float32)
    for image in range(first, last):
        lay_out(x, image, channels, height, width, padded, stride + 1, plane)
        for start in range(0, across, LANES):
            for output in range(0, len(bias), BLOCK):
                sum_shifted(
                    padded, start, channels, plane, stride, weights, bias, output, rows, across
                )
        at, end = image * outputs * height * width, (image + 1) * outputs * height * width
        for output in range(outputs):
            for row in range(height):
                copy_row(rows, output * across + row * stride, width, result, at, end)
                at += width


@kernel
def add_products(rows, at, across, size_out, padded, place, size_in, count, by_weights, to, apart):
    """Add the gradients of two outputs by one row of the weights of one channel."""
    a0 = splat(np.float32(0))
    a1, a2, b0, b1, b2 = a0, a0, a0, a0, a0
    for _ in range(count):
        for start in range(0, across, LANES):
            left, right = load_from(rows, at + start), load_from(rows, at + across + start)
            value = load_from(padded, place + start)
            a0 += left * value
            b0 += right * value
            value = load_from(padded, place + start + 1)
            a1 += left * value
            b1 += right * value
            value = load_from(padded, place + start + 2)
            a2 += left * value
            b2 += right * value
        at += size_out
        place += size_in
    by_weights[to] += total(a0)
    by_weights[to + 1] += total(a1)
    by_weights[to + 2] += total(a2)
    by_weights[to + apart] += total(b0)
    by_weights[to + apart + 1] += total(b1)
    by_weights[to + apart + 2] += total(b2)


@compiled
def convolve_back(x, gradient, sizes, together, by_weights, first, last):
    """Write gradients by the weights, each a sum over some images.

    Args:
        x: As for all kernels.
        gradient: That by the result, (B, outputs, H, W).
        sizes: C, outputs, H, W.
        together: Images of a sum, and images that are laid out at once.
        by_weights: (sums, outputs or one more if they are odd, C, 3, 3), zero at first.
        first, last: Sums to write.
    """
    channels, outputs, height, width = sizes
    images, at_once = together
    batch = len(x) // (channels * height * width)
    stride, across, plane = distances(height, width)
    # An odd last output is beside one that has no gradient.
    even = outputs + outputs % 2
    size_in, size_out = channels * plane, even * across
    padded = np.zeros(at_once * size_in, np.float32)
    rows = np.zeros(at_once * size_out, np.float32)
    for number in range(first, last):
        end = min((number + 1) * images, batch)
        for start in range(number * images, end, at_once):
            count = min(at_once, end - start)
            for k in range(count):
                place = k * size_in + stride + 1
                lay_out(x, start + k, channels, height, width, padded, place, plane)
                lay_out(gradient, start + k, outputs, height, width, rows, k * size_out, across)
            for output in range(0, even, 2):
                at = output * across
                for c in range(channels):
                    for row in range(3):
                        place = c * plane + row * stride
                        to = ((number * even + output) * channels + c) * 9 + 3 * row
                        add_products(
                            rows, at, across, size_out, padded, place, size_in, count,
                            by_weights, to, channels * 9,
                        )  # fmt: skip
