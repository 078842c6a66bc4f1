"""Changes of an input that keep most of it: what a parser meets when something else went wrong."""

import json
import random
import re
from collections.abc import Callable, Sequence
from typing import Any

ODD_VALUES: Sequence[Any] = (
    *(None, True, False, 0, -1, 2.5, 1e308, 10**30, float("inf"), float("nan"), "", "\ud800"),
    *("\x00", "a\nb", "../..", "/etc/passwd", "os:abort", [], [[]], {}, {"": None}, "9" * 5000),
)
"""Values that a JSON file can have in the place of any other."""

ODD_TEXTS: Sequence[bytes] = (
    *(b"", b"\x00", b"\xff", b"\n", b"\r", b"=", b".", b",", b":", b"[", b"]", b"{", b"}", b'"'),
    *(b"-", b"-0", b"nan", b"inf", b"1e999", b"0x10", b"9" * 5000, b"true", b"null", b"\\ud800"),
    *(b"..", b"/", b"~", b"%s", b"{0}", b"[" * 5000, "\u202e\U0001f600".encode()),
)
"""What is put into a text."""

_NUMBER = re.compile(rb"-?\d+\.?\d*(e-?\d+)?")


def mutated(content: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """Return an input with one to three changes; parts of other inputs are put into it."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        content = rng.choice(_CHANGES)(content, others, rng)
    return content


def _span(content: bytes, rng: random.Random) -> tuple[int, int]:
    start = rng.randrange(len(content) + 1)
    return start, min(len(content), start + rng.choice((1, 2, 4, 8, 40, 400)))


def _cut(content: bytes, _: Sequence[bytes], rng: random.Random) -> bytes:
    start, end = _span(content, rng)
    return content[:start] + content[end:]


def _end(content: bytes, _: Sequence[bytes], rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content) + 1)]


def _flip(content: bytes, _: Sequence[bytes], rng: random.Random) -> bytes:
    if not content:
        return content
    place = rng.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << rng.randrange(8)]) + content[place + 1 :]


def _insert(content: bytes, _: Sequence[bytes], rng: random.Random) -> bytes:
    start, end = _span(content, rng)
    return content[:start] + rng.choice(ODD_TEXTS) + content[rng.choice((start, end)) :]


def _random(content: bytes, _: Sequence[bytes], rng: random.Random) -> bytes:
    start, end = _span(content, rng)
    return content[:start] + rng.randbytes(end - start) + content[end:]


def _repeat(content: bytes, _: Sequence[bytes], rng: random.Random) -> bytes:
    start, end = _span(content, rng)
    return content[:end] + content[start:end] * rng.choice((1, 1, 3)) + content[end:]


def _splice(content: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    start, end = _span(content, rng)
    other = rng.choice(others)
    first, last = _span(other, rng)
    return content[:start] + other[first:last] + content[end:]


def _number(content: bytes, _: Sequence[bytes], rng: random.Random) -> bytes:
    found = list(_NUMBER.finditer(content))
    if not found:
        return content
    place = rng.choice(found)
    return content[: place.start()] + rng.choice(ODD_TEXTS) + content[place.end() :]


def _value(content: bytes, _: Sequence[bytes], rng: random.Random) -> bytes:
    """Replace a value of a JSON document."""
    try:
        whole = json.loads(content)
    except (ValueError, RecursionError):
        return content
    if not isinstance(whole, dict | list):
        return content
    within = [whole]
    for each in within:
        values = each.values() if isinstance(each, dict) else each
        within += [value for value in values if isinstance(value, dict | list)]
        if len(within) > 50:
            break
    table = rng.choice(within)
    if not table:
        return content
    key = rng.choice(list(table)) if isinstance(table, dict) else rng.randrange(len(table))
    table[key] = rng.choice(ODD_VALUES)
    if rng.random() < 0.9 and isinstance(whole, dict):
        whole.pop("checksum", None)
    return json.dumps(whole).encode()


_CHANGES: Sequence[Callable[[bytes, Sequence[bytes], random.Random], bytes]] = (
    *(_cut, _end, _flip, _insert, _random, _repeat, _splice, _number, _value, _value, _value),
)
