"""The official trees: where each planned clip lies, and the lists that name the clips.

A layout is three functions: which clips to plan, their paths, and the lists written beside them.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from stages.datasets.generator import GenerateSource
from stages.datasets.generator.plan import CATEGORIES, ClipPlan, Plan, make_plan

Paths = list[PurePosixPath]
# Layouts whose lists say "fake" without saying what is: their fakes all have a forged picture.
_PICTURE_CATEGORIES = ("RealVideo-RealAudio", "FakeVideo-RealAudio", "FakeVideo-FakeAudio")


@dataclass(frozen=True)
class Writer:
    """plan: people and clips; paths: one path a clip, relative to the root; lists: writes the layout's own files."""

    plan: Callable[[GenerateSource], Plan]
    paths: Callable[[Plan], Paths]
    lists: Callable[[Path, Plan, Paths], None]


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
        if clip.category == "RealVideo-FakeAudio":
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


WRITERS: dict[str, Writer] = {
    "fakeavceleb": Writer(make_plan, _fakeavceleb_paths, _fakeavceleb_lists),
    "dfdc": Writer(_picture_plan, _dfdc_paths, _dfdc_lists),
}
