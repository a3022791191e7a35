"""The official trees: where each planned clip lies, and the lists that name the clips.

A layout is three functions: which clips to plan, their paths, and the lists written beside them.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from dfdetect.errors import UserError
from synthetic import GenerateSource
from synthetic.plan import (
    CATEGORIES,
    FAKE_BOTH,
    FAKE_PICTURE,
    FAKE_SOUND,
    REAL,
    ClipPlan,
    Plan,
    draw_identities,
    make_plan,
    plan_clip,
)

Paths = list[PurePosixPath]
# Layouts whose lists say "fake" without saying what is: their fakes all have a forged picture.
_PICTURE_CATEGORIES = (REAL, FAKE_PICTURE, FAKE_BOTH)


@dataclass(frozen=True)
class Writer:
    """One layout. plan: people and clips; paths: one a clip, below the root; lists: writes the layout's own files.

    crops: 0 for mp4 files; else each path is a folder of this many face crops.
    """

    plan: Callable[[GenerateSource], Plan]
    paths: Callable[[Plan], Paths]
    lists: Callable[[Path, Plan, Paths], None]
    crops: int = 0


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="")


# --- FakeAVCeleb (v1.2) ---------------------------------------------------------------------------------------------


def _fakeavceleb_paths(plan: Plan) -> Paths:
    """File names follow the data set: the same base name occurs in several categories."""
    paths = []
    for clip in plan.clips:
        person = plan.identities[clip.identity]
        base = f"{clip.take + 1:05d}"
        if clip.category == FAKE_SOUND:
            base += "_fake"
        elif clip.method.endswith("wav2lip"):
            other = clip.face_donor if clip.face_donor is not None else clip.voice_donor
            lender = plan.identities[other if other is not None else clip.identity]
            base += f"_{lender.name}_wavtolip"
        elif clip.method == "fsgan":
            base += "_1"
        paths.append(PurePosixPath(clip.category, person.race, person.gender, person.name, f"{base}.mp4"))
    return paths


def _fakeavceleb_lists(root: Path, plan: Plan, paths: Paths) -> None:
    """meta_data.csv: its header ends with a comma, over an unnamed column that holds the folder."""
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(["source", "target1", "target2", "method", "category", "type", "race", "gender", "path", ""])
    for clip, path in zip(plan.clips, paths, strict=True):
        person = plan.identities[clip.identity]
        lenders = [plan.identities[k].name for k in (clip.face_donor, clip.voice_donor) if k is not None]
        targets = [*dict.fromkeys(lenders), "-", "-"][:2]
        letter = "ABCD"[CATEGORIES.index(clip.category)]
        folder = PurePosixPath("FakeAVCeleb", path.parent)
        rows.writerow(
            [
                person.name,
                *targets,
                clip.method,
                letter,
                clip.category,
                person.race,
                person.gender,
                path.name,
                str(folder),
            ]
        )
    _write(root / "meta_data.csv", out.getvalue())


# --- DFDC -----------------------------------------------------------------------------------------------------------

_DFDC_TRAIN_PARTS = 2
_DFDC_TRAIN_SHARE = 0.4  # of the identities; the rest is the labelled test folder


def _name(clip: ClipPlan) -> str:
    """Ten letters, as DFDC's names have, drawn from the clip's seeds and unique within a set."""
    value = (clip.identity * 4096 + clip.take) * 8 + CATEGORIES.index(clip.category)
    letters = ""
    state = (value * 6364136223846793005 + clip.take_seed[0] * 1442695040888963407 + 1) % 26**10
    for _ in range(10):
        state, letter = divmod(state, 26)
        letters += chr(ord("a") + letter)
    return letters


def _dfdc_part(plan: Plan, clip: ClipPlan) -> str:
    train = max(1, round(len(plan.identities) * _DFDC_TRAIN_SHARE))
    if clip.identity >= train:
        return "test"
    return f"dfdc_train_part_{clip.identity * _DFDC_TRAIN_PARTS // train}"


def _dfdc_paths(plan: Plan) -> Paths:
    return [PurePosixPath(_dfdc_part(plan, clip), f"{_name(clip)}.mp4") for clip in plan.clips]


def _originals(plan: Plan, paths: Paths) -> dict[tuple[int, int], PurePosixPath]:
    """Path of the real clip of each identity and take."""
    return {(c.identity, c.take): p for c, p in zip(plan.clips, paths, strict=True) if not c.fake}


def _dfdc_lists(root: Path, plan: Plan, paths: Paths) -> None:
    """metadata.json in each train part, labels.csv (1 = fake) in the test folder."""
    originals = _originals(plan, paths)
    parts: dict[str, dict[str, dict[str, str]]] = {}
    labels = ["filename,label"]
    for clip, path in zip(plan.clips, paths, strict=True):
        folder = str(path.parent)
        if folder == "test":
            labels.append(f"{path.name},{int(clip.fake)}")
            continue
        row = {"label": "FAKE" if clip.fake else "REAL", "split": "train"}
        if clip.fake:
            row["original"] = originals[clip.identity, clip.take].name
        parts.setdefault(folder, {})[path.name] = row
    for folder, rows in parts.items():
        _write(root / folder / "metadata.json", json.dumps(rows))
    _write(root / "test" / "labels.csv", "\n".join(labels) + "\n")


def _picture_plan(source: GenerateSource) -> Plan:
    return make_plan(source, _PICTURE_CATEGORIES, shared_takes=True)


# --- Celeb-DF (v2) --------------------------------------------------------------------------------------------------

_TEST_EVERY = 3  # of the takes: as in the official list, people of the test list also occur in training


def _celebdf_plan(source: GenerateSource) -> Plan:
    """Face swaps only; the last quarter of the people are seen in real clips alone, those of YouTube-real."""
    plan = make_plan(source, (REAL, FAKE_PICTURE), methods={REAL: ("real",), FAKE_PICTURE: ("faceswap",)})
    celebrities = _celebrities(plan)
    return Plan(plan.identities, tuple(c for c in plan.clips if c.identity < celebrities or not c.fake))


def _celebrities(plan: Plan) -> int:
    return max(1, len(plan.identities) * 3 // 4)


def _celebdf_paths(plan: Plan) -> Paths:
    """id0_0000.mp4 and, of target and source, id0_id1_0000.mp4."""
    paths = []
    outsiders = 0
    for clip in plan.clips:
        if clip.face_donor is not None:
            name = f"Celeb-synthesis/id{clip.identity}_id{clip.face_donor}_{clip.take:04d}.mp4"
        elif clip.identity < _celebrities(plan):
            name = f"Celeb-real/id{clip.identity}_{clip.take:04d}.mp4"
        else:
            name = f"YouTube-real/{outsiders:05d}.mp4"
            outsiders += 1
        paths.append(PurePosixPath(name))
    return paths


def _in_test(clip: ClipPlan) -> bool:
    return (clip.identity + clip.take) % _TEST_EVERY == 0


def _celebdf_lists(root: Path, plan: Plan, paths: Paths) -> None:
    """The test list: 1 means real there, and the last line does not end."""
    listed = [(clip, path) for clip, path in zip(plan.clips, paths, strict=True) if _in_test(clip)]
    _write(root / "List_of_testing_videos.txt", "\n".join(f"{int(not clip.fake)} {path}" for clip, path in listed))


# --- FaceForensics++ ------------------------------------------------------------------------------------------------

_FF_METHODS = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")
_FF_COMPRESSION = "c23"


def _faceforensics_plan(source: GenerateSource) -> Plan:
    """People in pairs that forge each other, without sound; an odd last person has no partner and is left out."""
    if source.real_clips is not None:
        raise UserError(
            f"real_clips {source.real_clips}: layout faceforensics has a fake of every original: leave the key out."
        )
    people = draw_identities(source)
    paired = len(people) - len(people) % 2
    videos = paired * source.clips_per_category
    if videos > 1000:
        raise UserError(f"layout faceforensics names its originals with three digits: {videos} are more than 1000.")
    partners = tuple(min(k ^ 1, len(people) - 1) for k in range(len(people)))
    clips = []
    for index in range(paired):
        for take in range(source.clips_per_category):
            clips.append(plan_clip(source, index, REAL, "real", take, partners))
            clips += [plan_clip(source, index, FAKE_PICTURE, method, take, partners) for method in _FF_METHODS]
    return Plan(people, tuple(replace(clip, sound=False) for clip in clips))


def _number(plan: Plan, clip: ClipPlan, *, partner: bool = False) -> str:
    """Three digits of an original: one a person and take."""
    takes = 1 + max(c.take for c in plan.clips)
    return f"{(clip.identity ^ int(partner)) * takes + clip.take:03d}"


def _faceforensics_paths(plan: Plan) -> Paths:
    paths = []
    for clip in plan.clips:
        if clip.fake:
            folder = f"manipulated_sequences/{clip.method}/{_FF_COMPRESSION}/videos"
            name = f"{_number(plan, clip)}_{_number(plan, clip, partner=True)}.mp4"
        else:
            folder, name = f"original_sequences/youtube/{_FF_COMPRESSION}/videos", f"{_number(plan, clip)}.mp4"
        paths.append(PurePosixPath(folder, name))
    return paths


def _faceforensics_lists(root: Path, plan: Plan, paths: Paths) -> None:
    """Three lists of pairs; every list gets some where there are three pairs of people."""
    del paths
    splits: dict[str, list[list[str]]] = {"train": [], "val": [], "test": []}
    for clip in plan.clips:
        if not clip.fake and clip.identity % 2 == 0:
            pair = [_number(plan, clip), _number(plan, clip, partner=True)]
            splits[_third(clip.identity // 2)].append(pair)
    for name, pairs in splits.items():
        _write(root / "splits" / f"{name}.json", json.dumps(pairs, indent=2))


def _third(index: int) -> str:
    """Train, test and val in turn, train more often."""
    return ("train", "test", "val", "train", "train")[index % 5]


# --- class folders --------------------------------------------------------------------------------------------------


def _folder_paths(plan: Plan) -> Paths:
    """train|val|test / real|fake / [method], split by person."""
    paths = []
    for clip in plan.clips:
        place = f"{_third(clip.identity)}/" + (f"fake/{clip.method}" if clip.fake else "real")
        paths.append(PurePosixPath(place, f"{plan.identities[clip.identity].name}_{clip.take:02d}.mp4"))
    return paths


def _no_lists(root: Path, plan: Plan, paths: Paths) -> None:
    del root, plan, paths


# --- DeepfakeBench --------------------------------------------------------------------------------------------------

_BENCH = "Celeb-DF-v2"


def _bench_paths(plan: Plan) -> Paths:
    """Celeb-DF's names, each a folder of crops."""
    return [PurePosixPath(_BENCH, p.parent, "frames", p.stem) for p in _celebdf_paths(plan)]


def _bench_lists(root: Path, plan: Plan, paths: Paths) -> None:
    """The JSON list. As in those of that project, train names the test videos too and val is a copy of test."""
    labels: dict[str, dict[str, dict[str, object]]] = {
        label: {"train": {}, "val": {}, "test": {}} for label in ("CelebDFv2_real", "CelebDFv2_fake")
    }
    for clip, path in zip(plan.clips, paths, strict=True):
        label = "CelebDFv2_fake" if clip.fake else "CelebDFv2_real"
        row = {"label": label, "frames": [str(path / f"{k:03d}.png") for k in range(min(_BENCH_CROPS, clip.frames))]}
        for split in ("train", "val", "test") if _in_test(clip) else ("train",):
            labels[label][split][path.name] = row
    _write(root / f"{_BENCH}.json", json.dumps({_BENCH: labels}))


_BENCH_CROPS = 8

WRITERS: dict[str, Writer] = {
    "fakeavceleb": Writer(make_plan, _fakeavceleb_paths, _fakeavceleb_lists),
    "dfdc": Writer(_picture_plan, _dfdc_paths, _dfdc_lists),
    "celebdf": Writer(_celebdf_plan, _celebdf_paths, _celebdf_lists),
    "faceforensics": Writer(_faceforensics_plan, _faceforensics_paths, _faceforensics_lists),
    "folder": Writer(_picture_plan, _folder_paths, _no_lists),
    "deepfakebench": Writer(_celebdf_plan, _bench_paths, _bench_lists, crops=_BENCH_CROPS),
}
