"""HEIC images as phones store them: HEVC tiles that a grid puts together, and boxes that turn or mirror the whole."""

from __future__ import annotations

import struct
from pathlib import Path

import av
import ffmpeg
import numpy as np
from imageio_ffmpeg import get_ffmpeg_exe


def write_grid(path: Path, image: np.ndarray, columns: int, rows: int, *, properties: bytes = b"") -> Path:
    """Write an image as a grid of equal tiles.

    Args:
        image: RGB uint8, its sides multiples of the numbers of tiles [shape=(H, W, 3)].
        properties: further property boxes of the grid, such as `irot` and `imir`.
    """
    height, width = image.shape[0] // rows, image.shape[1] // columns
    tiles = [image[y * height :, x * width :][:height, :width] for y in range(rows) for x in range(columns)]
    coded = [_hevc(path.with_suffix(".tile.mp4"), tile) for tile in tiles]
    count = len(tiles)
    grid = count + 1
    infos = b"".join(_full("infe", 2, 0, struct.pack(">HH4sx", n + 1, 0, b"hvc1")) for n in range(count))
    infos += _full("infe", 2, 0, struct.pack(">HH4sx", grid, 0, b"grid"))
    extra = properties.count(b"irot") + properties.count(b"imir")
    owned = _box("ipco", coded[0][0] + _size(width, height) + _size(image.shape[1], image.shape[0]) + properties)
    links = [struct.pack(">HBBB", n + 1, 2, 0x81, 2) for n in range(count)]
    links.append(struct.pack(">HBB", grid, 1 + extra, 3) + bytes(0x84 + n for n in range(extra)))
    linked = _full("ipma", 0, 0, struct.pack(">I", grid) + b"".join(links))
    refers = _full("iref", 0, 0, _box("dimg", struct.pack(f">HH{count}H", grid, count, *range(1, grid))))
    layout = struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, image.shape[1], image.shape[0])
    kind = _box("ftyp", b"heic\0\0\0\0mif1heic")

    def meta(first: int) -> bytes:
        places = b""
        for n, (_, data) in enumerate(coded):
            places += struct.pack(">HHHHII", n + 1, 0, 0, 1, first, len(data))
            first += len(data)
        places += struct.pack(">HHHHII", grid, 1, 0, 1, 0, len(layout))
        place = _full("iloc", 1, 0, struct.pack(">HH", 0x4400, grid) + places)
        return _full(
            "meta",
            0,
            0,
            _full("hdlr", 0, 0, struct.pack(">4s4s12xx", b"", b"pict"))
            + _full("pitm", 0, 0, struct.pack(">H", grid))
            + place
            + _full("iinf", 0, 0, struct.pack(">H", grid) + infos)
            + refers
            + _box("iprp", owned + linked)
            + _box("idat", layout),
        )

    first = len(kind) + len(meta(0)) + 8
    path.write_bytes(kind + meta(first) + _box("mdat", b"".join(data for _, data in coded)))
    return path


def _hevc(path: Path, tile: np.ndarray) -> tuple[bytes, bytes]:
    """A tile's `hvcC` box and its coded picture."""
    height, width = tile.shape[:2]
    raw = ffmpeg.input("pipe:", format="rawvideo", pix_fmt="rgb24", s=f"{width}x{height}")
    named = {"x265-params": "log-level=none", "tag:v": "hvc1"}
    raw.output(str(path), vcodec="libx265", crf=8, pix_fmt="yuv420p", **named).run(
        cmd=get_ffmpeg_exe(), input=tile.tobytes(), quiet=True, overwrite_output=True
    )
    data = path.read_bytes()
    start = data.index(b"hvcC") - 4
    with av.open(str(path)) as container:
        picture = bytes(next(container.demux()))
    path.unlink()
    return data[start : start + int.from_bytes(data[start : start + 4], "big")], picture


def _size(width: int, height: int) -> bytes:
    return _full("ispe", 0, 0, struct.pack(">II", width, height))


def _full(name: str, version: int, flags: int, body: bytes) -> bytes:
    return _box(name, bytes([version]) + flags.to_bytes(3, "big") + body)


def _box(name: str, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + name.encode() + body
