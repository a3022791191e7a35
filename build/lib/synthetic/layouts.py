"""The official trees: which clips each has, where a clip lies, and the lists that name the clips."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from synthetic.plan import CATEGORIES, FAKE_PICTURE, FAKE_SOUND, METHODS, REAL, ClipPlan, make_plan
from synthetic.settings import GenerateSource, SettingsError

Files = dict[str, ClipPlan]  # clips by their paths below the root
# FaceForensics++ (Roessler et al. 2019).
_FF_METHODS = {"Deepfakes": "swap", "Face2Face": "redraw", "FaceSwap": "swap", "NeuralTextures": "redraw gan"}
_BENCH, _BENCH_CROPS = "Celeb-DF-v2", 8


@dataclass(frozen=True)
class Layout:
    """One official tree.

    plan: its clips. path: where a clip lies below the root. lists: the layout's own files, by name. crops: 0 for mp4
    files; else each path is a folder of this many face crops.
    """

    plan: Callable[[GenerateSource], list[ClipPlan]]
    path: Callable[[ClipPlan], str]
    lists: Callable[[Files], dict[str, str]] = lambda _: {}
    crops: int = 0

    def files(self, source: GenerateSource) -> Files:
        """The planned clips by their paths, in a fixed order."""
        return {self.path(clip): clip for clip in self.plan(source)}


def _plan_pictures(source: GenerateSource) -> list[ClipPlan]:
    """For lists that say "fake" without saying what is: every fake has a forged picture, made from a real clip."""
    return make_plan(source, {k: v for k, v in METHODS.items() if k != FAKE_SOUND}, shared_takes=True)


def _train_val_test(index: int) -> str:
    """A split for each person or pair in turn, train more often."""
    return ("train", "test", "val", "train", "train")[index % 5]


def _fakeavceleb_path(clip: ClipPlan) -> str:
    """<category>/<race>/<gender>/<person>/; the same base name occurs in several categories, as in the dataset."""
    person, ending = clip.person, "_1" if clip.method == "fsgan" else ""
    if clip.category == FAKE_SOUND:
        ending = "_fake"
    elif "redraw" in clip.forgery:
        ending = f"_{(clip.face_donor or clip.voice_donor or person).name}_wavtolip"
    return f"{clip.category}/{person.race}/{person.gender}/{person.name}/{clip.take + 1:05d}{ending}.mp4"


def _fakeavceleb_lists(files: Files) -> dict[str, str]:
    """The header of meta_data.csv ends with a comma, over an unnamed column that holds the folder."""
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(["source", "target1", "target2", "method", "category", "type", "race", "gender", "path", ""])
    for path, clip in files.items():
        lenders = [lender.name for lender in (clip.face_donor, clip.voice_donor) if lender]
        made = [*[*dict.fromkeys(lenders), "-", "-"][:2], clip.method, "ABCD"[CATEGORIES.index(clip.category)]]
        folder, _, name = f"FakeAVCeleb/{path}".rpartition("/")
        rows.writerow([clip.person.name, *made, clip.category, clip.person.race, clip.person.gender, name, folder])
    return {"meta_data.csv": table.getvalue()}


def _dfdc_path(clip: ClipPlan) -> str:
    """Two people in five are in the two training parts. Names are ten letters, different for every clip."""
    train = max(1, round(clip.source.identities * 0.4))
    number = (clip.person.index * 4096 + clip.take) * 8 + CATEGORIES.index(clip.category)
    code = (number * 6364136223846793005 + clip.source.seed * 1442695040888963407 + 1) % 26**10  # one to one
    name = "".join(chr(ord("a") + code // 26**k % 26) for k in range(10))
    folder = f"dfdc_train_part_{clip.person.index * 2 // train}" if clip.person.index < train else "test"
    return f"{folder}/{name}.mp4"


def _dfdc_lists(files: Files) -> dict[str, str]:
    """metadata.json in each training part, labels.csv (1: fake) in the test folder."""
    originals = {clip.take_seed: PurePosixPath(path).name for path, clip in files.items() if not clip.fake}
    labels = ["filename,label"]
    parts: dict[str, dict[str, dict[str, str]]] = {}
    for path, clip in files.items():
        folder, name = path.split("/")
        if folder == "test":
            labels.append(f"{name},{int(clip.fake)}")
            continue
        fake = {"label": "FAKE", "split": "train", "original": originals[clip.take_seed]}
        parts.setdefault(folder, {})[name] = fake if clip.fake else {"label": "REAL", "split": "train"}
    metadata = {f"{folder}/metadata.json": json.dumps(rows) for folder, rows in parts.items()}
    return {**metadata, "test/labels.csv": "\n".join(labels) + "\n"}


def _plan_celebdf(source: GenerateSource) -> list[ClipPlan]:
    """Face swaps only; the last quarter of the people occur in real clips only, those of YouTube-real."""
    clips = make_plan(source, {REAL: METHODS[REAL], FAKE_PICTURE: {"faceswap": "swap"}})
    return [clip for clip in clips if _is_celebrity(clip) or not clip.fake]


def _is_celebrity(clip: ClipPlan) -> bool:
    return clip.person.index < max(1, clip.source.identities * 3 // 4)


def _celebdf_path(clip: ClipPlan) -> str:
    """id0_0000.mp4 and, of target and source, id0_id1_0000.mp4; YouTube's are numbered."""
    person = clip.person.index
    if clip.face_donor:
        return f"Celeb-synthesis/id{person}_id{clip.face_donor.index}_{clip.take:04d}.mp4"
    if _is_celebrity(clip):
        return f"Celeb-real/id{person}_{clip.take:04d}.mp4"
    takes = 2 * clip.source.clips_per_category + (clip.source.real_clips or 0)
    return f"YouTube-real/{person * takes + clip.take:05d}.mp4"


def _in_test(clip: ClipPlan) -> bool:
    """Every third take: as in the official list, people of the test list also occur in training."""
    return (clip.person.index + clip.take) % 3 == 0


def _celebdf_lists(files: Files) -> dict[str, str]:
    """In the list of test videos 1 means real, and the last line does not end."""
    lines = [f"{int(not clip.fake)} {path}" for path, clip in files.items() if _in_test(clip)]
    return {"List_of_testing_videos.txt": "\n".join(lines)}


def _plan_faceforensics(source: GenerateSource) -> list[ClipPlan]:
    """People in pairs who forge each other by every method, without sound; an odd last person is left out."""
    if source.real_clips is not None:
        raise SettingsError(
            f"real_clips {source.real_clips}: layout faceforensics has a fake of every original: leave the key out."
        )
    people = source.identities // 2 * 2
    if (videos := people * source.clips_per_category) > 1000:
        raise SettingsError(f"layout faceforensics names its originals with three digits: {videos} are more than 1000.")
    methods = {REAL: METHODS[REAL], FAKE_PICTURE: _FF_METHODS}
    clips = make_plan(source, methods, shared_takes=True, in_pairs=True)
    return [replace(clip, has_sound=False) for clip in clips if clip.person.index < people]


def _pair(clip: ClipPlan) -> list[str]:
    """Three digits of the clip's original and of its partner's."""
    people, per = (clip.person.index, clip.person.index ^ 1), clip.source.clips_per_category
    return [f"{index * per + clip.take:03d}" for index in people]


def _faceforensics_path(clip: ClipPlan) -> str:
    if clip.fake:
        return f"manipulated_sequences/{clip.method}/c23/videos/{'_'.join(_pair(clip))}.mp4"
    return f"original_sequences/youtube/c23/videos/{_pair(clip)[0]}.mp4"


def _faceforensics_lists(files: Files) -> dict[str, str]:
    """Three lists of pairs; every list gets some where there are three pairs of people."""
    splits: dict[str, list[list[str]]] = {"train": [], "val": [], "test": []}
    for clip in files.values():
        if not clip.fake and clip.person.index % 2 == 0:
            splits[_train_val_test(clip.person.index // 2)].append(_pair(clip))
    return {f"splits/{name}.json": json.dumps(pairs, indent=2) for name, pairs in splits.items()}


def _folder_path(clip: ClipPlan) -> str:
    """Class folders: train|val|test / real|fake / [method], split by person."""
    kind = f"fake/{clip.method}" if clip.fake else "real"
    return f"{_train_val_test(clip.person.index)}/{kind}/{clip.person.name}_{clip.take:02d}.mp4"


def _bench_path(clip: ClipPlan) -> str:
    """DeepfakeBench: Celeb-DF's names, each a folder of crops."""
    path = PurePosixPath(_celebdf_path(clip))
    return f"{_BENCH}/{path.parent}/frames/{path.stem}"


def _bench_lists(files: Files) -> dict[str, str]:
    """As in the lists of that project, train names the test videos too and val is a copy of test."""
    labels: dict[str, dict[str, dict[str, object]]] = {
        label: {"train": {}, "val": {}, "test": {}} for label in ("CelebDFv2_real", "CelebDFv2_fake")
    }
    for path, clip in files.items():
        label = "CelebDFv2_fake" if clip.fake else "CelebDFv2_real"
        frames = [f"{path}/{k:03d}.png" for k in range(min(_BENCH_CROPS, clip.frames))]
        for split in ("train", "val", "test") if _in_test(clip) else ("train",):
            labels[label][split][PurePosixPath(path).name] = {"label": label, "frames": frames}
    return {f"{_BENCH}.json": json.dumps({_BENCH: labels})}


LAYOUTS = {
    "fakeavceleb": Layout(make_plan, _fakeavceleb_path, _fakeavceleb_lists),
    "dfdc": Layout(_plan_pictures, _dfdc_path, _dfdc_lists),
    "celebdf": Layout(_plan_celebdf, _celebdf_path, _celebdf_lists),
    "faceforensics": Layout(_plan_faceforensics, _faceforensics_path, _faceforensics_lists),
    "folder": Layout(_plan_pictures, _folder_path),
    "deepfakebench": Layout(_plan_celebdf, _bench_path, _bench_lists, crops=_BENCH_CROPS),
}
