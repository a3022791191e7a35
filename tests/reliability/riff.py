"""Lies in RIFF files, which WAV and WebP are."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from random import Random

WRONG_SIZES = (0, 1, 0x7FFFFFFF, 0xFFFFFFFF)
# fmt: format, channels, samples a second, bytes a second, bytes a block, bits a sample: place and bytes
FIELDS = ((0, 2), (2, 2), (4, 4), (8, 4), (12, 2), (14, 2))
VALUES = (0x00, 0x01, 0x7F, 0xFF)
NOT_NUMBERS = (float("nan"), float("inf"), -float("inf"), 3e38, 1e20)


def mutations(data: bytes, random: Random) -> Iterator[tuple[str, bytes]]:
    """Lies told about a whole file."""
    chunks = list(walk(data))
    for _, start, end in [("RIFF", 0, len(data)), *chunks]:
        for wrong in WRONG_SIZES:
            yield "sizes that lie", data[: start + 4] + struct.pack("<I", wrong) + data[start + 8 :]
        yield "chunks removed", data[:start] + data[end:]
        yield "chunks doubled", data[:end] + data[start:end] + data[end:]
    for name, start, _ in chunks:
        body = start + 8
        if name == "fmt ":
            for place, length in FIELDS:
                for value in VALUES:
                    at = body + place
                    yield "header lies", data[:at] + bytes([value]) * length + data[at + length :]
            for rate in (1, 100, 1_000_001):
                yield "header lies", data[: body + 4] + struct.pack("<I", rate) + data[body + 8 :]
            if data[body] == 3:
                yield from _not_numbers(data, random)
        if name == "VP8 ":  # frame tag, start code, width, height
            for size in (0, 1, 16383):
                at = body + 6
                yield "header lies", data[:at] + struct.pack("<HH", size, size) + data[at + 4 :]
            for size in (0, 29999, 0xFFFFFF):
                extended = b"VP8X" + struct.pack("<II", 10, 0) + size.to_bytes(3, "little") * 2
                yield "huge dimensions", data[:12] + extended + data[12:]


def walk(data: bytes) -> Iterator[tuple[str, int, int]]:
    """Every chunk behind the file's own header: name, start, end."""
    at = 12
    while at + 8 <= len(data):
        end = min(at + 8 + struct.unpack_from("<I", data, at + 4)[0], len(data))
        yield data[at : at + 4].decode("latin-1"), at, end
        at = end + end % 2


def _not_numbers(data: bytes, random: Random) -> Iterator[tuple[str, bytes]]:
    """Float samples that are no sound."""
    start = data.find(b"data") + 8
    for value in NOT_NUMBERS:
        at = start + 4 * random.randrange((len(data) - start) // 4)
        yield "samples that are no numbers", data[:at] + struct.pack("<f", value) + data[at + 4 :]
        yield "samples that are no numbers", data[:start] + struct.pack("<f", value) * ((len(data) - start) // 4)
