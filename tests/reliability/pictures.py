"""Lies in JPEG and PNG images, and small files that unpack to large pictures."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from random import Random

EACH = 8
SIZES = ((0, 0), (0, 128), (1, 1), (65535, 65535), (30000, 30000))
Chunk = tuple[bytes, bytes]


def png_mutations(data: bytes, random: Random) -> Iterator[tuple[str, bytes]]:
    """Lies told about a whole PNG; the checksums are right."""
    chunks = list(_chunks(data))
    header = chunks[0][1]
    for width, height in (*SIZES, (0x7FFFFFFF, 0x7FFFFFFF), (0xFFFFFFFF, 1)):
        yield "huge dimensions", _png([(b"IHDR", struct.pack(">II", width, height) + header[8:]), *chunks[1:]])
    for place in range(8, 13):  # depth, colour type, compression, filter, interlace
        for value in (0, 1, 3, 16, 255):
            lie = header[:place] + bytes([value]) + header[place + 1 :]
            yield "header lies", _png([(b"IHDR", lie), *chunks[1:]])
    for at in range(len(chunks)):
        yield "chunks removed", _png(chunks[:at] + chunks[at + 1 :])
        yield "chunks doubled", _png([*chunks[: at + 1], *chunks[at:]])
        other = random.randrange(len(chunks))
        order = list(range(len(chunks)))
        order[at], order[other] = order[other], order[at]
        yield "chunks swapped", _png([chunks[place] for place in order])
    yield "image bombs", _png(_blank(30000, 30000))
    yield "image bombs", _png(_blank(8060, 8060))  # just under max_pixels: 65 million pixels that decode
    packed = zlib.compress(bytes(64_000_000), 9)
    yield "image bombs", _png([chunks[0], (b"zTXt", b"comment\0\0" + packed), *chunks[1:]])
    yield "image bombs", _png([chunks[0], (b"iCCP", b"profile\0\0" + packed), *chunks[1:]])


def _blank(width: int, height: int) -> list[Chunk]:
    """A black picture of one bit a pixel: 30,000 x 30,000 take 110 kB."""
    rows = zlib.compressobj(9)
    line = bytes(1 + (width + 7) // 8)
    packed = b"".join(rows.compress(line) for _ in range(height)) + rows.flush()
    return [(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)), (b"IDAT", packed), (b"IEND", b"")]


def _chunks(data: bytes) -> Iterator[Chunk]:
    at = 8
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        at += size + 12


def _png(chunks: list[Chunk]) -> bytes:
    parts = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def jpeg_mutations(data: bytes, random: Random) -> Iterator[tuple[str, bytes]]:
    """Lies told about a whole baseline JPEG."""
    segments = list(_segments(data))
    frame = data.find(b"\xff\xc0")
    for width, height in SIZES:
        lie = struct.pack(">HH", height, width)
        yield "huge dimensions", data[: frame + 5] + lie + data[frame + 9 :]
    for place in (4, 9, 10, 11, 12):  # depth, number of components, id, sampling, table
        for value in (0, 1, 255):
            yield "header lies", data[: frame + place] + bytes([value]) + data[frame + place + 1 :]
    for start, end in segments:
        yield "segments removed", data[:start] + data[end:]
        yield "segments doubled", data[:end] + data[start:end] + data[end:]
        for wrong in (0, 1, 0xFFFF):
            yield "sizes that lie", data[: start + 2] + struct.pack(">H", wrong) + data[start + 4 :]
    for kind in (0xC1, 0xC2, 0xC3, 0xC9, 0xCB):  # extended, progressive, lossless, arithmetic
        yield "header lies", data[: frame + 1] + bytes([kind]) + data[frame + 2 :]
    for _ in range(EACH):
        yield "odd tags", data[:2] + _exif(random) + data[2:]


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of every segment up to the pixels."""
    at = 2
    while data[at] == 0xFF:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        yield at, end
        if data[at + 1] == 0xDA:
            return
        at = end


def _exif(random: Random) -> bytes:
    """Tags of which the orientation is anything."""
    kind, count, value = random.randrange(14), random.choice([0, 1, 2, 0xFFFFFFFF]), random.randbytes(4)
    tiff = b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHI", 0x0112, kind, count) + value + random.randbytes(4)
    body = b"Exif\0\0" + tiff
    return b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
