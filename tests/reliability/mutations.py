"""Deterministic damage and lies: from one whole media file, many that are not.

Two families: what happens to any bytes (bits flip, runs are overwritten, the end is missing), and what someone does who
knows the format: boxes removed, doubled and swapped, sizes and dimensions that lie (tests/reliability/formats.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from tests.reliability import ebml, mp4, pictures, riff

FLIPS, RUNS, CUTS, SPLICES = 14, 8, 8, 4
# Name's ending -> what knows that format; the others are damaged without knowledge.
FORMATS = {
    ".mp4": mp4.mutations,
    ".mov": mp4.mutations,
    ".webm": ebml.mutations,
    ".mkv": ebml.mutations,
    ".wav": riff.mutations,
    ".webp": riff.mutations,
    ".jpg": pictures.jpeg_mutations,
    ".png": pictures.png_mutations,
}


@dataclass(frozen=True)
class Case:
    """One hostile file.

    source: the whole file it was made from (`h264.mp4`). operation: the kind of damage. number: of this kind.
    """

    source: str
    operation: str
    number: int
    data: bytes

    @property
    def name(self) -> str:
        """A file name that the `folder` layout takes: sound alone is given a video's ending."""
        stem, _, suffix = self.source.rpartition(".")
        ending = {"wav": "wav.mp4"}.get(suffix, suffix)
        return f"{stem}-{self.operation.replace(' ', '_')}-{self.number:03d}.{ending}"


def cases(seeds: dict[str, bytes]) -> list[Case]:
    """All mutations of some whole files, each once: the same files give the same cases."""
    found: list[Case] = []
    seen = set(seeds.values())
    for source, data in seeds.items():
        counts: dict[str, int] = {}
        for operation, mutated in _all(source, data):
            if mutated not in seen:
                seen.add(mutated)
                number = counts[operation] = counts.get(operation, 0) + 1
                found.append(Case(source, operation, number, mutated))
    return found


def _all(source: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    random = Random(source)  # by a string: the same on every machine, whatever PYTHONHASHSEED
    yield from any_bytes(data, random)
    if lies := FORMATS.get("." + source.rpartition(".")[2]):
        yield from lies(data, random)


def any_bytes(data: bytes, random: Random) -> Iterator[tuple[str, bytes]]:
    """Damage that knows no format; half of it to the first 512 bytes, where headers are."""
    for number in range(FLIPS):
        yield "bit flips", flipped(data, random, count=1 << (number // 2), end=512 if number % 2 else len(data))
    for number in range(RUNS):
        length = random.choice([4, 16, 64, 1024])
        at = random.randrange(min(len(data), 512) if number % 2 else len(data))
        run = [bytes(length), b"\xff" * length, random.randbytes(length)][number % 3]
        yield "byte runs", data[:at] + run + data[at + length :]
    for number in range(CUTS):
        yield "truncations", data[: [0, 1, 8, 64][number] if number < 4 else random.randrange(65, len(data))]
    for _ in range(SPLICES):
        a, b, c = sorted(random.randrange(len(data)) for _ in range(3))
        yield "splices", random.choice([data[:a] + data[b:], data[:b] + data[a:], data[:a] + data[b:c] + data[a:b]])


def flipped(data: bytes, random: Random, *, count: int, end: int) -> bytes:
    """`count` single bits of the first `end` bytes turned over."""
    changed = bytearray(data)
    for _ in range(count):
        changed[random.randrange(min(end, len(data)))] ^= 1 << random.randrange(8)
    return bytes(changed)
