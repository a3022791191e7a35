"""Official trees as tiny files under official names, made by the rules of each set: same counts, other names."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path

from dfdetect.config.params import DatasetParams

# Made files that are odd in one way each; absent on most machines.
CASES = Path(__file__).parents[3] / "shared" / "cases"

FAKEAVCELEB_COUNTS = {
    "RealVideo-RealAudio": 500,
    "RealVideo-FakeAudio": 500,
    "FakeVideo-RealAudio": 9709,
    "FakeVideo-FakeAudio": 10835,
}


def entry(layout: str, **settings: object) -> DatasetParams:
    """A dataset entry whose source does not matter to the layout."""
    return DatasetParams.model_validate({"layout": layout, "source": {"kind": "directory", "path": None}, **settings})


def touch(root: Path, names: Iterable[str], content: bytes = b"") -> None:
    """Write files; each holds its own name unless a content is given."""
    made: set[Path] = set()
    for name in names:
        path = root / name
        if path.parent not in made:
            path.parent.mkdir(parents=True, exist_ok=True)
            made.add(path.parent)
        path.write_bytes(content or name.encode("utf-8", errors="surrogateescape"))


def celebdf_names() -> tuple[dict[str, list[str]], list[str]]:
    """All 6,529 names by folder, and the 518 of the test list: 108 + 70 real, 340 fake, over 59 identities."""
    real = [f"Celeb-real/id{n % 59}_{n // 59:04d}.mp4" for n in range(590)]
    youtube = [f"YouTube-real/{n:05d}.mp4" for n in range(300)]
    fake = [f"Celeb-synthesis/id{n % 59}_id{(n % 59 + 1 + n // 590) % 59}_{n // 59 % 10:04d}.mp4" for n in range(5639)]
    names = {"Celeb-real": real, "YouTube-real": youtube, "Celeb-synthesis": fake}
    return names, real[::5][:108] + youtube[::4][:70] + fake[::16][:340]


def celebdf(root: Path) -> list[str]:
    """The whole of Celeb-DF v2 with its list (no final newline). Returns the lines of the list."""
    names, test = celebdf_names()
    for group in names.values():
        touch(root, group)
    lines = [f"{int('real' in name.split('/')[0])} {name}" for name in test]
    (root / "List_of_testing_videos.txt").write_text("\n".join(lines))
    return lines


def faceforensics_pairs() -> dict[str, list[list[str]]]:
    """360, 70 and 70 pairs of the 1,000 originals."""
    numbers = [f"{(n * 37) % 1000:03d}" for n in range(1000)]
    pairs = [numbers[n : n + 2] for n in range(0, 1000, 2)]
    return {"train": pairs[:360], "val": pairs[360:430], "test": pairs[430:]}


def faceforensics(
    root: Path, methods: Iterable[str], compression: str = "c23", *, flat: bool = False, masks: bool = False
) -> None:
    """Originals, methods and split lists; `flat` puts them as real/ and one folder a method."""
    splits = faceforensics_pairs()
    pairs = [pair for group in splits.values() for pair in group]
    originals = [f"{name}.mp4" for pair in pairs for name in pair]
    fakes = [f"{a}_{b}.mp4" for pair in pairs for a, b in (pair, pair[::-1])]
    place = "real" if flat else f"original_sequences/youtube/{compression}/videos"
    touch(root, (f"{place}/{name}" for name in originals))
    for method in methods:
        place = method if flat else f"manipulated_sequences/{method}/{compression}/videos"
        touch(root, (f"{place}/{name}" for name in fakes))
        if masks:
            touch(root, (f"manipulated_sequences/{method}/masks/videos/{name}" for name in fakes))
    (root / "splits").mkdir()
    for split, group in splits.items():
        (root / "splits" / f"{split}.json").write_text(json.dumps(group))


def fakeavceleb(root: Path) -> list[list[str]]:
    """The whole of FakeAVCeleb v1.2: 500 identities, 21,544 files; returns its list, 22 lines of which come twice."""
    races = ("African", "Asian (East)", "Asian (South)", "Caucasian (American)", "Caucasian (European)")
    lines = []
    for category, count in FAKEAVCELEB_COUNTS.items():
        letter = "ABCD"[list(FAKEAVCELEB_COUNTS).index(category)]
        for number in range(count):
            person = number % 500
            folder = f"{category}/{races[person % 5]}/{('men', 'women')[person // 5 % 2]}/id{person:05d}"
            take = number // 500
            if letter == "A":
                name, method, target = "00109.mp4", "real", "-"
            elif letter == "B":
                name, method, target = "00109_fake.mp4", "rtvc", "-"
            else:
                other = f"id{(person + 7 * take + 1) % 500:05d}"
                kinds = ("wav2lip",) if letter == "D" and take % 3 else ("faceswap", "fsgan", "wav2lip")
                method, target = kinds[take % len(kinds)], other
                name = f"00109_{take}_{other}_{method}.mp4"
            lines.append(
                [f"id{person:05d}", target, "-", method, letter, category, *folder.split("/")[1:3], name, folder]
            )
    touch(root, (f"{line[9]}/{line[8]}" for line in lines))
    lines += lines[7:29]
    write_fakeavceleb_list(root / "meta_data.csv", lines)
    return lines


_LINE = ["id00076", "-", "-", "real", "A", "RealVideo-RealAudio", "African", "men", "00109.mp4"]
_FOLDER = "African/men/id00076"


def fakeavceleb_small(root: Path, variant: str = "v1") -> list[list[str]]:
    """One clip of each category; the base name of two is the same."""
    other = "id00166"
    lines = [
        [*_LINE, f"RealVideo-RealAudio/{_FOLDER}"],
        ["id00076", "-", "-", "rtvc", "B", "RealVideo-FakeAudio", *_LINE[6:], f"RealVideo-FakeAudio/{_FOLDER}"],
        ["id00076", other, "-", "faceswap", "C", "FakeVideo-RealAudio", "African", "men", f"00109_{other}_fs.mp4",
         f"FakeVideo-RealAudio/{_FOLDER}"],
        ["id00076", other, "10", "wav2lip", "D", "FakeVideo-FakeAudio", "African", "men", f"00109_10_{other}_w.mp4",
         f"FakeVideo-FakeAudio/{_FOLDER}"],
    ]  # fmt: skip
    touch(root, (f"{line[9]}/{line[8]}" for line in lines))
    write_fakeavceleb_list(root / "meta_data.csv", lines, variant)
    return lines


def write_fakeavceleb_list(path: Path, lines: list[list[str]], variant: str = "v1", newline: str = "\n") -> None:
    """meta_data.csv; a line has ten values, the last one the folder from the category on.

    Args:
        variant: `v1` has the header that ends in a comma, `v2` the one with filename,path.
    """
    prefix = "FakeAVCeleb" if variant == "v1" else "FakeAVCeleb_v1.2"
    last = ["path", ""] if variant == "v1" else ["filename", "path"]
    header = ["source", "target1", "target2", "method", "category", "type", "race", "gender", *last]
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator=newline)
        writer.writerow(header)
        writer.writerows([*line[:9], f"{prefix}/{line[9]}"] for line in lines)


def dfdc_part(root: Path, part: str, originals: int, fakes_each: int) -> dict[str, dict[str, object]]:
    """A training part; returns its metadata."""
    metadata: dict[str, dict[str, object]] = {}
    for number in range(originals):
        name = f"{part[-1]}real{number:04d}.mp4"
        # "original" may be absent or null on real rows
        metadata[name] = {"label": "REAL", "split": "train"} | ({"original": None} if number % 2 else {})
        for fake in range(fakes_each):
            metadata[f"{part[-1]}fake{number:04d}{fake}.mp4"] = {"label": "FAKE", "split": "train", "original": name}
    touch(root / part, metadata)
    (root / part / "metadata.json").write_text(json.dumps(metadata))
    return metadata


def dfdc_test(root: Path, each: int = 2500) -> None:
    """The labelled test set: labels.csv beside the videos."""
    names = {f"test{label}{number:05d}.mp4": label for label in (0, 1) for number in range(each)}
    touch(root / "test", names)
    lines = "".join(f"{name},{label}\n" for name, label in names.items())
    (root / "test" / "labels.csv").write_text("filename,label\n" + lines)
