"""The tables that pass between stages: the only contract between rooms.

Units stand in each field's metadata under `unit`; a table's name and version in the schema's metadata. A reader checks
the version, so that an artifact of another release is named and not misread.
"""

from __future__ import annotations

import pyarrow as pa

VERSION = 1


def _field(name: str, type_: pa.DataType, unit: str = "", *, nullable: bool = True) -> pa.Field:
    return pa.field(name, type_, nullable=nullable, metadata={"unit": unit} if unit else None)


def _schema(name: str, fields: list[pa.Field]) -> pa.Schema:
    return pa.schema(fields, metadata={"table": name, "version": str(VERSION)})


def _key(name: str = "video_id") -> pa.Field:
    return _field(name, pa.string(), nullable=False)


VIDEOS = _schema(
    "videos",
    [
        _key(),
        _field("path", pa.string(), "relative to the dataset's root, / between folders", nullable=False),
        _field("sha256", pa.string(), "hex; null when the file cannot be read"),
        _field("size_bytes", pa.int64(), "byte"),
        _field("label", pa.int8(), "0 real, 1 any part fake, null unknown"),
        _field("visual_label", pa.int8(), "0 the picture is real, 1 the picture is fake, null unknown"),
        _field("category", pa.string()),
        _field("method", pa.string()),
        _field("compression", pa.string()),
        _field("identity", pa.string(), "who is seen"),
        _field("source_identity", pa.string(), "whose face or voice was put in"),
        _field("original_id", pa.string(), "video_id of the clip that was manipulated, or that an image is a frame of"),
        _field("official_split", pa.string(), "train, val, test or null"),
        _field("duration_s", pa.float64(), "s"),
        _field("fps", pa.float64(), "1/s"),
        _field("width", pa.int32(), "px, as displayed"),
        _field("height", pa.int32(), "px, as displayed"),
        _field("rotation_deg", pa.int32(), "degree, clockwise, already applied to width and height"),
        _field("declared_frames", pa.int64(), "as the container says; may lie"),
        _field("has_audio", pa.bool_(), "an audio track holds packets"),
        _field("audio_start_s", pa.float64(), "s, first audio sample; 0 is the first frame that decodes"),
        _field("status", pa.string(), "ok, or why the probe failed", nullable=False),
        _field("reason", pa.string()),
    ],
)

FACES = _schema(
    "faces",
    [
        _key(),
        _field("frame_index", pa.int32(), "0 is the first frame that decodes", nullable=False),
        _field("time_s", pa.float64(), "s since the first video frame"),
        _field("box", pa.list_(pa.float32(), 4), "x0 y0 x1 y1, source px"),
        _field("score", pa.float32(), "detector's confidence, 0 to 1"),
        _field("keypoints", pa.list_(pa.float32(), 10), "x y of left eye, right eye, nose, mouth corners; source px"),
        _field("crop_box", pa.list_(pa.float32(), 4), "x0 y0 x1 y1 of the square crop, source px; may leave the frame"),
        _field("turn_deg", pa.int16(), "degree, clockwise: how the crop is turned against the frame, 0 as a rule"),
        _field("image", pa.binary(), "encoded crop", nullable=False),
        _field("phash", pa.uint64(), "64-bit perceptual hash of the crop"),
    ],
)

COVERAGE = _schema(
    "coverage",
    [
        _key(),
        _field("frames_asked", pa.int32()),
        _field("frames_decoded", pa.int32(), "frames of the file that really decode"),
        _field("frames_with_face", pa.int32(), "of the frames asked"),
        _field("faces_seen", pa.int32(), "detections over all frames asked, other people included"),
        _field("key", pa.string(), "hash of all that the rows depend on: content, params, weights, code version"),
        _field("status", pa.string(), "ok, no_face, unreadable, truncated, timeout, crashed, ...", nullable=False),
        _field("reason", pa.string()),
    ],
)

MASKS = _schema(
    "masks",
    [
        _key(),
        _field("frame_index", pa.int32(), nullable=False),
        _field("landmarks", pa.list_(pa.float32(), 136), "x y of dlib's 68 points, crop px"),
        _field("eye_angle_deg", pa.float32(), "degree, of the line between the eyes"),
        _field("mask", pa.binary(), "encoded, 8 bit, crop coordinates", nullable=False),
        _field("status", pa.string(), "ok, or why the mask is all ones", nullable=False),
    ],
)

MOUTHS = _schema(
    "mouths",
    [
        _key(),
        _field("frame_index", pa.int32(), nullable=False),
        _field("time_s", pa.float64(), "s since the first video frame"),
        _field("image", pa.binary(), "encoded crop", nullable=False),
    ],
)

MELS = _schema(
    "mels",
    [
        _key(),
        _field("sample_rate_hz", pa.int32(), "Hz"),
        _field("hop_s", pa.float64(), "s between mel frames"),
        _field("start_s", pa.float64(), "s, first audio sample; 0 is the first frame that decodes"),
        _field("leading_silence_s", pa.float64(), "s of silence at the start of the track"),
        _field("n_frames", pa.int32()),
        _field("n_mels", pa.int32()),
        _field("mel", pa.list_(pa.float16()), "log-mel, row-major [shape=(n_frames, n_mels)]; null without sound"),
        _field("status", pa.string(), "ok, no_audio, silent, unreadable", nullable=False),
        _field("reason", pa.string()),
    ],
)

SPLITS = _schema(
    "splits",
    [
        _key(),
        _field("split", pa.string(), "train, val, test", nullable=False),
        _field("label", pa.int8(), "0 real, 1 any part fake, null unknown"),
        _field("visual_label", pa.int8(), "0 the picture is real, 1 the picture is fake, null unknown"),
        _field("category", pa.string()),
        _field("method", pa.string()),
        _field("compression", pa.string()),
        _field("identity", pa.string()),
    ],
)

LEAKS = _schema(
    "leaks",
    [
        _key(),
        _field("split", pa.string(), "train, val: the split that this video has to leave", nullable=False),
        _field("kind", pa.string(), "identity, source_identity, original, video, file, frame", nullable=False),
        _field("shared", pa.string(), "who or what is in both splits", nullable=False),
        _field("other_id", pa.string(), "video_id of the first video of the other split that has it", nullable=False),
        _field("other_split", pa.string(), "val, test", nullable=False),
        _field("official", pa.bool_(), "whether the dataset's own split has this leak", nullable=False),
        _field("dropped", pa.bool_(), "whether training leaves this video out", nullable=False),
    ],
)

EXAMPLES = _schema(
    "examples",
    [
        _key(),
        _field("kind", pa.string(), "sample, mistake, success", nullable=False),
        _field("position", pa.int32(), "order in which the videos are shown", nullable=False),
        _field("name", pa.string(), "crop, mask, heat, residual, mouth", nullable=False),
        _field("image", pa.binary(), "JPEG, 160 px", nullable=False),
    ],
)

PREDICTIONS = _schema(
    "predictions",
    [
        _key(),
        _field("label", pa.int8(), "what the detector is evaluated against: 0 real, 1 fake, null unknown"),
        _field("any_fake", pa.int8(), "0 all real, 1 any part fake, null unknown"),
        _field("category", pa.string()),
        _field("method", pa.string()),
        _field("compression", pa.string()),
        _field("identity", pa.string()),
        _field("score", pa.float64(), "probability of fake of the video; null when it could not be scored"),
        _field("frame_index", pa.list_(pa.int32()), "of each frame scored"),
        _field("frame_time_s", pa.list_(pa.float64()), "s since the first video frame"),
        _field("frame_score", pa.list_(pa.float64()), "probability of fake a frame"),
        _field("score_trimmed", pa.float64(), "without the sound's leading silence; null for picture detectors"),
        _field("score_untrimmed", pa.float64(), "with the sound's leading silence; null for picture detectors"),
        _field("status", pa.string(), "ok, or why there is no score", nullable=False),
        _field("reason", pa.string()),
        _field("detector", pa.string(), "its registered name", nullable=False),
        _field("threshold", pa.float64(), "a video counts as fake from this score on", nullable=False),
    ],
)
