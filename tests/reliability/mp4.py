"""Lies in mp4 and mov files: boxes gone, doubled, swapped; sizes, counts, durations and dimensions that are not so."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

PARENTS = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"dinf", b"udta"})
EACH = 10  # removed, doubled, swapped boxes, and boxes whose size lies
WRONG_SIZES = (0, 1, 7, 0x7FFFFFFF, 0xFFFFFFFF)
# Box -> fields of its payload: place and bytes. Of a sample table's first entry, where there are many.
FIELDS = {
    b"mvhd": ((12, 4), (16, 4)),  # ticks a second, duration
    b"tkhd": ((20, 4), (76, 4), (80, 4)),  # duration, width, height
    b"mdhd": ((12, 4), (16, 4)),
    b"elst": ((4, 4), (8, 4)),  # number, duration
    b"stsd": ((4, 4), (12, 4), (32, 2), (34, 2)),  # number, codec, width (or channels, bits), height
    b"stts": ((4, 4), (8, 4), (12, 4)),  # number, frames, ticks a frame
    b"stsc": ((4, 4), (8, 4), (12, 4)),  # number, first chunk, samples a chunk
    b"stsz": ((4, 4), (8, 4)),  # size, number
    b"stco": ((4, 4), (8, 4)),  # number, first place
}
VALUES = ("00", "7f", "ff")
HUGE = (30000, 16000)  # FFmpeg itself refuses the first; the second is left to us
Box = list[Any]  # [kind, payload, or list of boxes]


def mutations(data: bytes, random: Random) -> Iterator[tuple[str, bytes]]:
    """Lies told about a whole file whose sizes are all 32 bits long."""
    count = len(_lists(parse(data)))
    for _ in range(EACH):
        for operation in ("boxes removed", "boxes doubled", "boxes swapped"):
            tree = parse(data)
            siblings, at = _lists(tree)[random.randrange(count)]
            if operation == "boxes removed":
                del siblings[at]
            elif operation == "boxes doubled":
                siblings.insert(at, siblings[at])
            else:
                other = random.randrange(len(siblings))
                siblings[at], siblings[other] = siblings[other], siblings[at]
            yield operation, join(tree)
    places = list(_places(data, 0, len(data)))
    for number in range(EACH):
        at = random.choice(places)
        yield "sizes that lie", data[:at] + WRONG_SIZES[number % 5].to_bytes(4, "big") + data[at + 4 :]
    for kind, fields in FIELDS.items():
        for place, length in fields:
            yield "header lies", _changed(data, kind, place, bytes.fromhex(random.choice(VALUES)) * length)
    for side in HUGE:
        two = side.to_bytes(2, "big")
        yield "huge dimensions", _changed(_changed(data, b"stsd", 32, two), b"stsd", 34, two)
        if b"avcC" in data:
            yield "huge dimensions", _huge_h264(data, side)
        else:  # Motion JPEG: each frame has its own size, behind the depth of 8 bits
            frame = b"\xff\xc0\x00\x11\x08"
            own = data[data.find(frame) + 5 :][:4]
            yield "huge dimensions", data.replace(frame + own, frame + 2 * two)


def parse(data: bytes) -> list[Box]:
    """The tree of boxes."""
    found, at = [], 0
    while at + 8 <= len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        payload = data[at + 8 : at + size]
        found.append([kind, parse(payload) if kind in PARENTS else payload])
        at += size
    return found


def join(tree: list[Box]) -> bytes:
    """The bytes of a tree, its sizes right; chunk offsets stay as they are."""
    parts = [(kind, join(inner) if isinstance(inner, list) else inner) for kind, inner in tree]
    return b"".join((len(inner) + 8).to_bytes(4, "big") + kind + inner for kind, inner in parts)


def _lists(tree: list[Box]) -> list[tuple[list[Box], int]]:
    """Every box as the list it is in and its place there."""
    found = []
    for at, (_, inner) in enumerate(tree):
        found.append((tree, at))
        if isinstance(inner, list):
            found += _lists(inner)
    return found


def _places(data: bytes, start: int, end: int) -> Iterator[int]:
    """Where each box begins."""
    while start + 8 <= end:
        yield start
        size = int.from_bytes(data[start : start + 4], "big")
        if data[start + 4 : start + 8] in PARENTS:
            yield from _places(data, start + 8, start + size)
        start += size


def _changed(data: bytes, kind: bytes, place: int, value: bytes) -> bytes:
    """The file with bytes of the first box of a kind replaced."""
    start = data.find(kind) + 4 + place
    return data[:start] + value + data[start + len(value) :] if kind in data else data


def _huge_h264(data: bytes, side: int) -> bytes:
    """An H.264 track whose own parameter set, not only the container, says that it is huge."""
    tree = parse(data)
    for siblings, at in _lists(tree):
        kind, payload = siblings[at]
        if kind == b"stsd" and b"avcC" in payload:
            begin = payload.find(b"avcC") - 4
            size = int.from_bytes(payload[begin : begin + 4], "big")
            box = payload[begin + 8 : begin + size]
            length = int.from_bytes(box[6:8], "big")
            sps = huge_sps(box[8 : 8 + length], side)
            grown = box[:6] + len(sps).to_bytes(2, "big") + sps + box[8 + length :]
            entry = payload[8:begin] + (len(grown) + 8).to_bytes(4, "big") + b"avcC" + grown + payload[begin + size :]
            siblings[at] = [kind, payload[:8] + len(entry).to_bytes(4, "big") + entry[4:]]
    return join(tree)


def huge_sps(sps: bytes, side: int) -> bytes:
    """A sequence parameter set of another width and height (ITU-T H.264, 7.3.2.1.1)."""
    plain = sps.replace(b"\x00\x00\x03", b"\x00\x00")
    bits = "".join(f"{byte:08b}" for byte in plain)
    at = 32  # NAL header, profile, constraints, level

    def skip() -> int:
        nonlocal at
        zeros = bits.index("1", at) - at
        at += 2 * zeros + 1
        return int(bits[at - zeros - 1 : at], 2) - 1

    skip()  # id
    if plain[1] == 100:
        skip(), skip(), skip()  # chroma format, luma and chroma depth
        assert bits[at : at + 2] == "00", "no scaling matrix"
        at += 2
    skip()  # frame numbers
    assert skip() == 0, "picture order of type 0"
    skip(), skip()
    at += 1
    start = at
    skip(), skip()
    number = f"{side // 16:b}"  # macroblocks; coded is one less, and Exp-Golomb writes one more
    changed = bits[:start] + 2 * ("0" * (len(number) - 1) + number) + bits[at:]
    changed += "0" * (-len(changed) % 8)
    whole = int(changed, 2).to_bytes(len(changed) // 8, "big")
    for last in (b"\x00", b"\x01", b"\x02", b"\x03"):
        whole = whole.replace(b"\x00\x00" + last, b"\x00\x00\x03" + last)
    return whole
