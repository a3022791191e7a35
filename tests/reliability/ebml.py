"""Lies in WebM and Matroska files: elements gone, doubled, swapped; lengths, dimensions and clocks that are not so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

# Segment, SeekHead, Info, Tracks, TrackEntry, Video, Audio, Cluster
PARENTS = frozenset({"18538067", "114d9b74", "1549a966", "1654ae6b", "ae", "e0", "e1", "1f43b675"})
# Dimensions, clocks, sampling, codec, tracks, times, kind of file, index.
FIELDS = ("b0", "ba", "54b0", "54ba", "4489", "2ad7b1", "23e383", "b5", "9f", "6264", "86", "d7", "83", "e7", "63a2")
FIELDS += ("4282", "53ac", "9a")
EACH = 10
VALUES = (0x00, 0x7F, 0xFF)


@dataclass(frozen=True)
class Element:
    """start: of its id. size_at, body, end: of its length, content and end. depth: how many elements it is inside."""

    name: str
    start: int
    size_at: int
    body: int
    end: int
    depth: int


def mutations(data: bytes, random: Random) -> Iterator[tuple[str, bytes]]:
    """Lies told about a whole file."""
    elements = list(walk(data, 0, len(data)))
    for _ in range(EACH):
        one = random.choice(elements)
        yield "elements removed", data[: one.start] + data[one.end :]
        yield "elements doubled", data[: one.end] + data[one.start : one.end] + data[one.end :]
        other = random.choice([e for e in elements if e.depth == one.depth])
        first, second = sorted((one, other), key=lambda e: e.start)
        if first.end <= second.start:
            between = data[first.end : second.start]
            swapped = data[second.start : second.end] + between + data[first.start : first.end]
            yield "elements swapped", data[: first.start] + swapped + data[second.end :]
    for number in range(EACH):
        one = random.choice(elements)
        length = one.body - one.size_at
        marker = 1 << (7 * length)
        wrong = marker | (0, 1, marker - 2, marker - 1)[number % 4]  # none, one byte, the longest, unknown
        yield "lengths that lie", data[: one.size_at] + wrong.to_bytes(length, "big") + data[one.body :]
    for name in FIELDS:
        for one in [e for e in elements if e.name == name][:2]:
            lie = bytes([random.choice(VALUES)]) * (one.end - one.body)
            yield "element lies", data[: one.body] + lie + data[one.end :]
    yield from _huge(data, elements)


def walk(data: bytes, start: int, end: int, depth: int = 0) -> Iterator[Element]:
    """Every element, parents before what is in them."""
    while start < end:
        id_length = 9 - data[start].bit_length()
        size_at = start + id_length
        length = 9 - data[size_at].bit_length()
        body = size_at + length
        size = int.from_bytes(data[size_at:body], "big") & ((1 << 7 * length) - 1)
        stop = end if size == (1 << 7 * length) - 1 else min(body + size, end)
        name = data[start:size_at].hex()
        yield Element(name, start, size_at, body, stop, depth)
        if name in PARENTS:
            yield from walk(data, body, stop, depth + 1)
        start = stop


def _huge(data: bytes, elements: list[Element]) -> Iterator[tuple[str, bytes]]:
    """Huge pictures, said by the container, and by the first frame itself."""
    said = data
    for one in (e for e in elements if e.name in ("b0", "ba")):
        said = said[: one.body] + b"\xff" * (one.end - one.body) + said[one.end :]
    yield "huge dimensions", said
    if (at := data.find(b"\x9d\x01\x2a")) > 0:  # VP8: start code, width, height (RFC 6386, 9.1)
        for side in (16383, 16000):
            yield "huge dimensions", data[: at + 3] + side.to_bytes(2, "little") * 2 + data[at + 7 :]
    if (at := data.find(b"\x49\x83\x42")) > 0:  # VP9: sync code, 4 bits of colour, width - 1, height - 1
        word = int.from_bytes(data[at + 3 : at + 8], "big")
        for side in (30000, 16000):
            lie = (word & 0xF00000000F) | ((side - 1) << 20) | ((side - 1) << 4)
            yield "huge dimensions", data[: at + 3] + lie.to_bytes(5, "big") + data[at + 8 :]
