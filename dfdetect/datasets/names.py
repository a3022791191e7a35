"""What file names of one's own videos tell: who is seen, and which clip a forgery or a frame comes from.

Names are evidence and not proof. What is read here keeps videos together where the project makes the split, which costs
nothing when it is wrong; where folders give the split, a leak that is found by it is told as one by names.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from dfdetect.datasets import celebdf, faceforensics
from dfdetect.datasets.layout import Clip
from dfdetect.datasets.tree import is_image, stored

# `clip7_0012`, `clip_frame12`, `clip_frame_12_0` (the face's number last): an image that is a frame of a clip.
_FRAME = re.compile(r"(.+?)[ _.-]+(?:(frame|frm|f)[ _.-]*\d+(?:[ _.-]\d+)?|\d+)", re.IGNORECASE)
# `0012`, `frame_12`: an image whose folder may be the clip.
_NUMBER = re.compile(r"(?:frame|frm|f|image|img)?[ _.-]*\d+", re.IGNORECASE)
_SEPARATOR = re.compile(r"[ _.-]+")
# Numbered images in this many folders or more with numbered names are frames of clips; one or two such folders are more
# often collections of photographs (ffhq256/).
_FEWEST_CLIP_FOLDERS = 3


def with_origins(clips: Sequence[Clip], inner: Mapping[str, str]) -> list[Clip]:
    """Fill in what the names tell.

    - The names of Celeb-DF (id0_id1_0000) and FaceForensics++ (519_515, 01_02__scene__XYZ) tell `identity` and
      `source_identity`; they are believed where some fake's name has such a pair.
    - A fake whose name is that of a real clip, or begins with it (anna_deepfake), has it as `original_id`.
    - Frames of one clip have the clip as `original_id`: a path like those of videos, without split and frame number.

    Where a name occurs in two splits among the real files, numbering starts anew in each split, and originals are only
    looked for in the same split.

    Args:
        clips: of layout `folder`.
        inner: a clip's path -> its path below the class folder.
    """
    names = _clip_names(clips, inner)
    splits_of_name: dict[str, set[str | None]] = defaultdict(set)
    for clip in clips:
        if not clip.label:
            splits_of_name[_without_suffix(inner[clip.path])].add(clip.official_split)
    restarts = any(len(splits) > 1 for splits in splits_of_name.values())
    fakes = {_base(names[clip.path]) for clip in clips if clip.label}
    schemes = [people for people in (celebdf.people, faceforensics.people) if any(people(name)[1] for name in fakes)]
    originals: dict[tuple[str | None, str], str] = {}  # (split, or None: any; name) -> original_id
    for clip in clips:
        if not clip.label:
            base, key = _base(names[clip.path]), _key(clip, names, inner, restarts=restarts)
            originals.setdefault((clip.official_split, base), key)
            originals.setdefault((None, base), key)
    found = []
    for clip in clips:
        name = names[clip.path]
        identity, source_identity = next(
            (pair for people in schemes if (pair := people(_base(name)))[0] is not None), (None, None)
        )
        key = _key(clip, names, inner, restarts=restarts)
        original = None if key == clip.video_id else key
        if clip.label:
            original = _original(_base(name), clip.official_split, originals, restarts=restarts) or original
        method = None if clip.label and name == clip.method else clip.method  # the folder is a clip and no method
        told = replace(clip, identity=identity, source_identity=source_identity)
        found.append(replace(told, method=method, original_id=original))
    return found


def _original(
    name: str, split: str | None, originals: Mapping[tuple[str | None, str], str], *, restarts: bool
) -> str | None:
    """The original that a fake's name tells; in the same split if there is one, else in any.

    A bare number (fake/7.mp4 and real/7.mp4) is not looked for in other splits: it is more often a count.
    """
    for candidate in _candidates(name):
        other_splits = split is not None and not restarts and not (candidate == name and name.isdigit())
        for place in (split, None) if other_splits else (split,):
            if (place, candidate) in originals:
                return originals[place, candidate]
    return None


def _candidates(name: str) -> Iterator[str]:
    """Names that the original of a fake may have, the surest first."""
    if celebdf.people(name)[1] and (told := celebdf.original_name(name)):
        yield told
    if faceforensics.people(name)[1]:
        yield faceforensics.original_name(name)
    yield name
    yield from (name[: match.start()] for match in reversed(list(_SEPARATOR.finditer(name))))


def _clip_names(clips: Sequence[Clip], inner: Mapping[str, str]) -> dict[str, str]:
    """A file's path -> the name of its clip: below the class folder, without suffix and frame number."""
    names, numbered = {}, defaultdict(list)
    for clip in clips:
        name = _without_suffix(inner[clip.path])
        folder, _, stem = name.rpartition("/")
        names[clip.path] = name
        if not is_image(clip.path) or _is_whole(stem, clip.label):
            continue
        if (match := _FRAME.fullmatch(stem)) and (match[2] or re.search(r"\d", match[1])):
            names[clip.path] = f"{folder}/{match[1]}".lstrip("/")
        elif _NUMBER.fullmatch(stem) and _may_be_clip(folder, clip.label):
            numbered[folder].append(clip.path)
    if len(numbered) >= _FEWEST_CLIP_FOLDERS:
        names.update({path: folder for folder, paths in numbered.items() for path in paths})
    return names


def _is_whole(stem: str, label: int | None) -> bool:
    """Whether a number at the end is part of the clip's own name: fake/519_515.png, real/id0_0000.png."""
    pair = celebdf.people(stem)[1] or faceforensics.people(stem)[1]
    return bool(pair) if label else celebdf.people(stem)[0] is not None


def _may_be_clip(folder: str, label: int | None) -> bool:
    """Whether a folder of numbered images may be a clip. The first folder inside fake/ is the method."""
    if not re.search(r"\d", _base(folder)):
        return False
    return not label or "/" in folder or _is_whole(folder, label)


def _key(clip: Clip, names: Mapping[str, str], inner: Mapping[str, str], *, restarts: bool) -> str:
    """The video_id of a clip; of a frame, one made of its clip's name, and of the split if numbering restarts."""
    name = names[clip.path]
    if name == _without_suffix(inner[clip.path]):
        return clip.video_id
    return stored("/".join(part for part in (clip.official_split if restarts else None, clip.category, name) if part))


def _base(name: str) -> str:
    return name.rpartition("/")[2]


def _without_suffix(path: str) -> str:
    folder, slash, file = path.rpartition("/")
    return folder + slash + (file.rpartition(".")[0] or file)  # a folder of frames has no suffix
