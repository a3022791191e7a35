"""params.yaml as frozen, validated models: an unknown key, a wrong type, a value out of range is a named error.

Detector settings live beside each detector and are validated when it is built (dfdetect/detectors/registry.py), so that
reading the params imports no torch.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from dfdetect.config.recipe import Fakes, Recipe
from dfdetect.errors import UserError, unknown
from synthetic.settings import GenerateSource

PATH = Path("params.yaml")


class Strict(BaseModel):
    """Frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Share = Annotated[float, Field(ge=0.0, le=1.0)]
FaceDetector = Literal["retinaface-resnet50", "retinaface-mobilenet0.25", "mtcnn"]  # the names in dfdetect/faces
# A dataset's name is also that of its folders, and of its stages in DVC.
DatasetName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]*$")]


class VideoStageParams(Strict):
    """Settings of a per-video stage."""

    # Settings that change no result stay out of the result cache's key.
    not_results: ClassVar[frozenset[str]] = frozenset({"max_failed_fraction"})
    max_failed_fraction: Share = 0.5

    def fingerprint(self) -> dict[str, Any]:
        """All that changes a result, as plain values."""
        return self.model_dump(mode="json", exclude=set(self.not_results))


class RunParams(Strict):
    """Which datasets `dvc repro` builds."""

    datasets: list[str] = Field(min_length=1)

    @field_validator("datasets")
    @classmethod
    def _each_once(cls, names: list[str]) -> list[str]:
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} must be named once only")
        return names


class RuntimeParams(Strict):
    """How per-video work is spread. Never changes a result: no stage depends on it."""

    executor: Literal["local", "ray"] = "local"
    address: str | None = None  # of a Ray cluster: auto, host:port, ray://host:port; null: Ray on this machine alone
    gpus_per_worker: float = Field(0.0, ge=0.0)  # Ray only: a GPU's share that each worker of faces takes
    num_workers: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    timeout_s: float = Field(300.0, gt=0)  # of one video in one stage
    memory_limit_mb: int = Field(6000, ge=0)  # private memory a worker may hold; 0: no limit


class DirectorySource(Strict):
    """A folder that exists already; it is read in place, never copied or changed."""

    kind: Literal["directory"]
    path: Path | None = None


class ArchiveSource(Strict):
    """Archives on this machine, unpacked into raw/: zip, tar, tar.gz, .bz2, .xz, and parts (x.zip.001, x.tar.gz.aa)."""

    kind: Literal["archive"]
    paths: list[Path] = []  # in any order; the parts of one archive are put together by their names
    sha256: list[str] = []  # of each path in its order; empty: not checked
    max_unpacked_gb: float = Field(1000.0, gt=0)  # an archive that expands beyond it is refused,
    max_expansion: float = Field(50.0, gt=0)  # and one that expands to so many times its size (and more than 1 GB)


class HttpSource(Strict):
    """Files fetched by URL into raw/; archives among them are unpacked."""

    kind: Literal["http"]
    urls: list[str] = []  # stored under the last part of each URL's path
    manifest: Path | None = None  # a CSV file with the columns url, path, sha256 (path and sha256 may be empty)
    parallel: int = Field(4, ge=1, le=64)
    retries: int = Field(5, ge=0)  # of a request that failed, each after twice the pause
    pause_s: float = Field(1.0, ge=0)  # before the first retry; a server's own Retry-After goes before
    timeout_s: float = Field(60.0, gt=0)  # without a byte
    allow_http: bool = False  # also fetch what is not encrypted, which anyone on the way can exchange
    max_file_gb: float = Field(500.0, gt=0)  # a larger file is refused
    unpack: bool = True
    max_unpacked_gb: float = Field(1000.0, gt=0)
    max_expansion: float = Field(50.0, gt=0)


class KaggleSource(Strict):
    """A competition's or data set's files, fetched by Kaggle's official client, an optional extra."""

    kind: Literal["kaggle"]
    competition: str | None = None
    dataset: str | None = None  # owner/name; one of the two
    files: list[str] = []  # only these; empty: all
    max_unpacked_gb: float = Field(1000.0, gt=0)
    max_expansion: float = Field(50.0, gt=0)


class RemoteSource(Strict):
    """A folder at a URL that fsspec can open, fetched into raw/; archives in it are unpacked."""

    kind: Literal["remote"]
    url: str | None = None  # s3://bucket/folder, gs://, az://, sftp://, ...; each needs a package (s3fs, gcsfs, ...)
    options: dict[str, Any] = {}  # of the store, such as {anon: true} or {endpoint_url: ...}; no credentials
    parallel: int = Field(8, ge=1, le=64)
    unpack: bool = True
    max_unpacked_gb: float = Field(1000.0, gt=0)
    max_expansion: float = Field(50.0, gt=0)


Source = GenerateSource | DirectorySource | ArchiveSource | HttpSource | KaggleSource | RemoteSource


class DatasetParams(Strict):
    """Where a dataset comes from and how it is laid out."""

    layout: str
    source: Annotated[Source, Field(discriminator="kind")]
    compression: str | None = None  # faceforensics: c0 (or raw), c23, c40; null: every one that is there
    methods: list[str] | None = None  # faceforensics: which manipulations; null: every one that is there
    frame_folders: bool | None = None  # folder: numbered images in a folder are one video; null: as folder.py says
    face_detector: FaceDetector | None = None  # overrides faces.face_detector
    cropped: bool = False  # the images are face crops already: no detection
    max_failed_fraction: Share = 0.5  # of files that cannot be probed


class ImageEncoding(Strict):
    """How a crop is stored inside Parquet."""

    format: Literal["jpeg", "png"] = "jpeg"
    quality: int = Field(95, ge=1, le=100)  # JPEG only; chroma is never subsampled (4:4:4)


class FacesParams(VideoStageParams):
    """The faces stage: detection, the subject, the crop."""

    not_results: ClassVar[frozenset[str]] = frozenset({"max_failed_fraction", "device"})
    face_detector: FaceDetector = "retinaface-resnet50"
    frames_per_video: int = Field(22, ge=1, le=1000)
    image_size: int = Field(317, ge=32, le=2048)  # side of the stored square crop (px)
    margin: float = Field(0.3, ge=0.0, le=2.0)  # border added per side, as a fraction of the face box's longer side
    score_threshold: Share = 0.9  # detections under this are ignored
    detect_long_side: int = Field(640, ge=64, le=8192)  # detection runs on a frame shrunk to this (px); never enlarged
    min_face_ratio: float = Field(0.03125, gt=0.0, le=1.0)  # smallest face looked for: box side / frame's long side
    nms_threshold: float = Field(
        0.4, gt=0.0, lt=1.0
    )  # RetinaFace: of two boxes that overlap more, the weaker is dropped
    device: Literal["auto", "cpu", "cuda"] = "auto"  # a GPU's boxes may differ from a CPU's by 1/4 px
    encoding: ImageEncoding = ImageEncoding()
    max_pixels: int = Field(65_000_000, ge=1)  # a larger frame is refused (too_large): phones take 50 or 64 million
    max_frames: int = Field(100_000, ge=1)  # a longer video is refused (too_long): about an hour at 30 fps
    cropped: bool = False  # set from the dataset


class MasksParams(VideoStageParams):
    """Attention masks from 68 landmarks (dfdetect/faces)."""

    landmarks: Literal["dlib-68"] = "dlib-68"  # the landmark model, a name in dfdetect/io/pretrained.py
    max_iterations: int = Field(
        2, ge=1, le=4
    )  # at most; the box is refitted from its own landmarks until it has settled
    blur_ratio: float = Field(0.0082, ge=0.0, le=0.1)  # sigma of the hulls' edges / side of the crop
    max_keypoint_error: float = Field(0.33, gt=0.0)  # landmarks off the detector's 5 points, in eye distances
    png_compression: int = Field(1, ge=0, le=9)  # zlib level of the 8-bit masks; never changes a pixel


class MouthsParams(VideoStageParams):
    """Mouth crops for the audio-visual detector (dfdetect/faces)."""

    landmarks: Literal["dlib-68"] = "dlib-68"
    parts: int = Field(8, ge=1)  # equal parts of the clip; the audio has one chunk a part
    frames_per_part: int = Field(2, ge=1)  # 8 x 2 = 16 crops
    image_size: int = Field(112, ge=16)  # pixels a side
    width_ratio: float = Field(1.6, gt=0.0)  # side of the crop in distances between the eyes' centres
    median_window: int = Field(5, ge=1)  # running median of the crop's scale over this many crops (odd)
    encoding: ImageEncoding = ImageEncoding()

    @field_validator("median_window")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("must be odd: a running median has a middle")
        return value


class MelsParams(VideoStageParams):
    """Log-mel spectrogram of the whole track (dfdetect/audio)."""

    sample_rate: int = Field(16000, ge=1000)  # Hz
    n_fft: int = Field(512, ge=16)
    window_length: int = Field(400, ge=16)  # samples, Hann, centred in n_fft; <= n_fft
    hop_length: int = Field(160, ge=1)  # samples: 10 ms a mel frame at 16 kHz
    n_mels: int = Field(80, ge=1)
    fmin_hz: float = Field(0.0, ge=0.0)
    fmax_hz: float | None = Field(None)  # null: half the sample rate
    silent_dbfs: float = Field(-70.0, le=0.0)  # a track whose loudest 5 ms lie below is `silent`
    leading_silence_db: float = Field(-40.0, lt=0.0)  # against the track's own level (95th percentile of 5 ms RMS)

    @model_validator(mode="after")
    def _fits(self) -> MelsParams:
        if self.window_length > self.n_fft:
            raise ValueError(f"window_length {self.window_length} is longer than n_fft {self.n_fft}")
        if self.fmax_hz is not None and not self.fmin_hz < self.fmax_hz <= self.sample_rate / 2:
            raise ValueError(f"fmax_hz {self.fmax_hz:g} must lie above fmin_hz and at most at half the sample rate")
        return self


LeakKind = Literal["identity", "source_identity", "original", "video", "file", "frame"]


class SplitsParams(Strict):
    """How a dataset without official splits is split, how validation is taken from train, and what leaks lead to."""

    seed: int = 42
    val_fraction: float = Field(0.2, gt=0.0, lt=0.5)  # of the training identities (or originals, or videos)
    test_fraction: float = Field(0.2, gt=0.0, lt=0.5)  # where the layout has no official test split
    on_leak: Literal["report", "drop", "fail"] = "report"  # every leak is a warning; also leave it out, or stop
    leak_kinds: list[LeakKind] = list(get_args(LeakKind))  # which kinds drop and fail act on
    near_duplicate_bits: int = Field(2, ge=0, le=8)  # at 8 bits, crops of different people begin to agree


class TrainParams(Strict):
    """What is trained, on what, how."""

    dataset: str
    detector: str
    recipe: str
    seed: int = 42
    fakes: Fakes = "dataset"  # its own; self_blended: made on the fly from real crops; both: these and the dataset's
    init_checkpoint: Path | None = None  # a copy of a detector's folder, or .safetensors file, to start from

    @field_validator("init_checkpoint")
    @classmethod
    def _stays(cls, start: Path | None) -> Path | None:
        if start is not None and start.resolve().is_relative_to(Path("models/detector").resolve()):
            raise ValueError(
                "lies in models/detector, which `dvc repro` removes before it trains: copy it first "
                "(cp -r models/detector models/earlier), and name the copy"
            )
        return start


class PredictParams(Strict):
    """How the test split is scored."""

    model: Path = Path("models/detector")  # folder of the saved model that scores
    # how the scores of a video's frames become its score; auto: as the detector was trained; top_k: mean of the highest
    aggregation: Literal["auto", "mean", "median", "max", "top_k"] = "auto"
    top_k: int = Field(5, ge=1)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    batch_size: int | None = Field(None, ge=1)  # null: 8 on a CPU, 64 on a GPU; may change a score's last bits
    n_examples: int = Field(4, ge=0, le=50)  # most confident mistakes, and as many successes, kept with heatmaps


class RobustnessParams(Strict):
    """How the test crops are corrupted, and how strongly; an empty list leaves a corruption out."""

    frames_per_video: int = Field(2, ge=1)  # evenly spaced crops that are corrupted and scored
    jpeg: list[Annotated[int, Field(ge=1, le=100)]] = []  # quality
    h264: list[Annotated[int, Field(ge=0, le=51)]] = []  # crf; a video's crops are encoded as one video
    blur: list[Annotated[float, Field(gt=0, le=50)]] = []  # sigma (px of the stored crop)
    noise: list[Annotated[float, Field(gt=0, le=255)]] = []  # standard deviation, of 255
    downscale: list[Annotated[float, Field(gt=1, le=32)]] = []  # shrunk so many times and enlarged again
    brightness: list[Annotated[float, Field(gt=0, le=4)]] = []  # factor
    contrast: list[Annotated[float, Field(ge=0, le=4)]] = []  # factor, around the crop's mean
    shift: list[Annotated[float, Field(gt=0, lt=0.5)]] = []  # of the crop's side, right and down


class EvaluateParams(Strict):
    """What is computed from the scores."""

    # a video without a score: error stops, exclude leaves it out, score counts it with missing_fill
    on_missing: Literal["error", "exclude", "score"] = "exclude"
    missing_fill: Share = 0.5
    n_bootstrap: int = Field(2000, ge=100, le=100_000)  # of the bootstrap over videos
    confidence: float = Field(0.95, gt=0.5, lt=1.0)  # of its intervals
    seed: int = 42
    n_bins: int = Field(15, ge=2, le=100)  # of the reliability curve and the ECE


class Params(Strict):
    """The whole of params.yaml."""

    run: RunParams
    runtime: RuntimeParams = RuntimeParams()
    datasets: dict[DatasetName, DatasetParams]
    faces: FacesParams
    masks: MasksParams
    mouths: MouthsParams
    mels: MelsParams
    splits: SplitsParams
    train: TrainParams
    recipes: dict[str, Recipe]
    detectors: dict[str, dict[str, Any]]
    predict: PredictParams = PredictParams()
    robustness: RobustnessParams = RobustnessParams()
    evaluate: EvaluateParams = EvaluateParams()

    def dataset(self, name: str) -> DatasetParams:
        """One dataset's entry; an unknown name is an error that lists the known ones."""
        return _pick(self.datasets, name, "dataset", "datasets")

    def recipe(self, name: str) -> Recipe:
        """One recipe's entry; an unknown name is an error that lists the known ones."""
        return _pick(self.recipes, name, "recipe", "recipes")

    def faces_of(self, name: str) -> FacesParams:
        """The faces settings with the dataset's own overrides."""
        entry = self.dataset(name)
        override: dict[str, Any] = {"cropped": entry.cropped}
        if entry.face_detector is not None:
            override["face_detector"] = entry.face_detector
        return self.faces.model_copy(update=override)


def dataset_folder(dataset: str) -> Path:
    """Where a dataset's artifacts are."""
    return Path("data") / dataset


Entry = TypeVar("Entry")


def _pick(entries: Mapping[str, Entry], name: str, kind: str, section: str) -> Entry:
    if name not in entries:
        raise UserError(f"params.yaml, {section}: {unknown(kind, name, entries)}")
    return entries[name]


def load(path: Path = PATH) -> Params:
    """Read and check params.yaml.

    Raises:
        UserError: it is missing, no YAML, or has an unknown key or a bad value; the message names each.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run from the project's root.") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    if not isinstance(raw, dict):
        raise UserError(f"{path} is empty or no mapping.")
    return validate(raw, path.name)


def validate(raw: Mapping[str, Any], name: str = "params.yaml") -> Params:
    """Check a mapping as params.yaml; what is wrong is listed key by key."""
    try:
        params = Params.model_validate(raw)
    except ValidationError as error:
        raise UserError(describe(error, name, model=Params)) from None
    for dataset in params.run.datasets:
        if dataset not in params.datasets:
            raise UserError(f"{name}, run.datasets: {unknown('dataset', dataset, params.datasets)}")
    return params


_PLAIN_WORDS = {
    "missing": "is missing",
    "union_tag_not_found": "needs a `kind`: generate, directory, archive, http, kaggle or remote",
}


def describe(error: ValidationError, name: str, section: str = "", *, model: type[BaseModel] | None = None) -> str:
    """A pydantic error in one clause a key: where, what is wrong, what was given, what looks like it.

    Args:
        error: of the validation.
        name: of the file.
        section: where in the file the validated mapping stands; empty: it is the whole file.
        model: what raised the error; for its keys that look like an unknown one.
    """
    lines: list[str] = []
    for item in error.errors():
        place, given = _keys(item["loc"]), item["input"]
        said = item["msg"].removeprefix("Value error, ").split(" or instance of ")[0]
        what = _PLAIN_WORDS.get(item["type"], said.replace("valid dictionary", "mapping"))
        near: list[str] = []
        if item["type"] == "extra_forbidden":
            what, near = "unknown key", difflib.get_close_matches(place[-1], keys_at(model, place[:-1]))
        elif item["type"] == "literal_error":
            near = difflib.get_close_matches(str(given), re.findall(r"'(.*?)'", item["ctx"]["expected"]))
        notes = [] if isinstance(given, dict) or item["type"] == "missing" else [f"given: {given!r}"]
        notes += [f"did you mean {' or '.join(near)}?"] if near else []
        lines.append(f"{'.'.join([section] * bool(section) + place)}: {what}" + f" ({'; '.join(notes)})" * bool(notes))
    return f"{name}: " + "; ".join(lines) + "."


def keys_at(kind: Any, place: Sequence[str]) -> set[str]:
    """The keys that a mapping may have; of several models that are possible there, those of each.

    Args:
        kind: type of the whole: a model, or a union, list or dictionary of models.
        place: keys and indices that lead to the mapping.
    """
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        if not place:
            return set(kind.model_fields)
        field = kind.model_fields.get(place[0])
        return keys_at(field.annotation, place[1:]) if field else set()
    if get_origin(kind) in (dict, list):
        return keys_at(get_args(kind)[-1], place[1:])
    return {key for part in get_args(kind) for key in keys_at(part, place)}


def _keys(place: Sequence[int | str]) -> list[str]:
    """A place in params.yaml without what pydantic adds: which source kind, or which type of several, it tried."""
    parts = [str(part) for part in place]
    if len(parts) > 3 and parts[0] == "datasets" and parts[2] == "source":
        del parts[3]
    return [part for part in parts if part not in ("constrained-int", "int", "literal['auto']", "[key]")]
