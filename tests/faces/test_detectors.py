"""The face detectors give what the packages give whose networks and weights they use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from retinaface.prior_box import priorbox
from retinaface.utils import tensor_from_rgb_image

from dfdetect.errors import UserError
from dfdetect.faces import mtcnn, networks, packages, retinaface
from dfdetect.faces.detectors import FACE_DETECTORS, Detections, build_face_detector, iou, nms
from dfdetect.io import pretrained as weights
from dfdetect.media.frames import Rgb
from dfdetect.media.image import read_image
from dfdetect.media.video import sample_frames
from tests.drawn_faces import DrawnFace, drawn_face

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared"
MEDIA = SHARED / "media"
SMALL = SHARED / "weights" / "retinaface_mobilenet0.25.pth"
SCORE_THRESHOLD, NMS_THRESHOLD = 0.9, 0.4
SETTINGS: Any = {"score_threshold": SCORE_THRESHOLD, "nms_threshold": NMS_THRESHOLD, "device": "cpu"}
needs_media = pytest.mark.skipif(not MEDIA.is_dir(), reason="../shared/media is not here")

# RetinaFace-ResNet50's boxes in ternaus_13.jpg, from that project's tests.
THREE = np.array([[256.9, 93.64, 336.79, 201.76], [436.62, 118.5, 510.04, 211.13], [657.3, 156.87, 729.81, 245.78]])


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def mtcnn_detector() -> mtcnn.Mtcnn:
    return mtcnn.Mtcnn("mtcnn-pnet", "mtcnn-rnet", "mtcnn-onet", **SETTINGS)


@pytest.fixture(scope="module")
def small_detector(tmp_path_factory: pytest.TempPathFactory) -> retinaface.RetinaFace:
    if not SMALL.is_file():
        pytest.skip(f"../shared/weights/{SMALL.name} is not here")
    folder = tmp_path_factory.mktemp("weights")
    (folder / "retinaface-mobilenet0.25.pth").symlink_to(SMALL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weights, "FOLDER", folder)
        return retinaface.RetinaFace("retinaface-mobilenet0.25", **SETTINGS)


def scene(*faces: tuple[DrawnFace, int, int, int], width: int = 640, height: int = 360) -> Rgb:
    """Drawn faces on a plain ground, each at x, y with a side in px."""
    image = np.full((height, width, 3), (110, 120, 125), np.uint8)
    for face, x, y, side in faces:
        image[y : y + side, x : x + side] = cv2.resize(face.image, (side, side), interpolation=cv2.INTER_AREA)
    return image


def keypoints_of(face: DrawnFace, x: int, y: int, side: int) -> np.ndarray:
    return face.keypoints * side / len(face.image) + (x, y)


def real_frames(count: int) -> list[Rgb]:
    """Frames of real photographs and clips, at the size at which they are searched."""
    paths = [*sorted((MEDIA / "faces").iterdir()), *sorted((MEDIA / "speech").iterdir())]
    return [frame.shrunk(640) for path in paths for frame in sample_frames(path, count).frames]


def overlaps(theirs: np.ndarray, ours: Detections) -> list[float]:
    """For each of their boxes the IoU with the nearest of ours."""
    return [float(iou(box, ours.boxes).max(initial=0)) for box in theirs.astype(np.float32)]


@needs_media
def test_mtcnn_gives_the_packages_faces_on_real_frames(mtcnn_detector: mtcnn.Mtcnn) -> None:
    from facenet_pytorch import MTCNN

    found: list[float] = []
    large: list[float] = []
    for frame in real_frames(3):
        min_face_px = max(20.0, 0.0625 * max(frame.shape))
        boxes, scores, points = MTCNN(keep_all=True, min_face_size=min_face_px, device="cpu").detect(
            frame, landmarks=True
        )
        if boxes is None or not (scores >= SCORE_THRESHOLD).any():
            continue
        boxes, points = boxes[scores >= SCORE_THRESHOLD], points[scores >= SCORE_THRESHOLD]
        ours = mtcnn_detector.search(frame, min_face_px=min_face_px)
        assert len(ours) == len(boxes)
        found += overlaps(boxes, ours)
        nearest = [points[int(np.argmax(iou(box, boxes.astype(np.float32))))] for box in ours.boxes]
        assert np.abs(ours.keypoints - nearest).max() < 3
        # What is left out when large faces come first is never the largest one.
        sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
        large += overlaps(boxes[[sides.argmax()]], mtcnn_detector.detect(frame, min_face_px=min_face_px))
    assert len(found) >= 30
    assert np.mean(np.array(found) > 0.95) >= 0.99
    assert np.mean(np.array(large) > 0.95) >= 0.97


@needs_media
def test_retinaface_gives_the_packages_faces_on_real_frames(small_detector: retinaface.RetinaFace) -> None:
    """The package's own loop (retinaface.predict_single), around its network on the small backbone."""
    from retinaface.box_utils import decode
    from torchvision.ops import nms as their_nms

    network = packages.MobileNetRetinaFace().eval()
    network.load_state_dict(weights.load_state(SMALL))
    whole: list[float] = []
    quick: list[float] = []
    for frame in real_frames(11):
        height, width = frame.shape[:2]
        sizes = [list(pair) for pair in retinaface.MIN_SIZES]
        prior = priorbox(sizes, list(retinaface.STEPS), clip=False, image_size=(height, width))
        bgr = frame[..., ::-1].astype(np.float32) - np.array([104, 117, 123], np.float32)
        with torch.inference_mode():
            offsets, logits, _ = network(tensor_from_rgb_image(bgr)[None])
        scores = torch.softmax(logits[0], -1)[:, 1]
        boxes = decode(offsets[0], prior, [0.1, 0.2]) * torch.tensor([width, height, width, height])
        good = scores > SCORE_THRESHOLD
        boxes, scores = boxes[good], scores[good]
        theirs = boxes[their_nms(boxes, scores, NMS_THRESHOLD)].numpy()
        min_face_px = 0.0625 * max(height, width)
        theirs = theirs[(theirs[:, 2:] - theirs[:, :2]).max(axis=1, initial=0) >= min_face_px]
        whole += overlaps(theirs, small_detector.search(frame, min_face_px=min_face_px))
        quick += overlaps(theirs, small_detector.detect(frame, min_face_px=min_face_px))
    assert len(whole) >= 100
    assert min(whole) > 0.99
    assert np.mean(np.array(quick) > 0.95) >= 0.99


def test_anchors_equal_the_packages() -> None:
    for height, width in ((360, 640), (97, 33), (288, 360)):
        sizes = [list(pair) for pair in retinaface.MIN_SIZES]
        theirs = priorbox(sizes, list(retinaface.STEPS), clip=False, image_size=(height, width)).numpy()
        assert np.allclose(retinaface.anchors(height, width), theirs, atol=1e-6)


BOXES = st.lists(
    st.tuples(st.floats(0, 80), st.floats(0, 80), st.floats(1, 60), st.floats(1, 60), st.integers(1, 10**6)),
    max_size=30,
    unique_by=lambda box: box[4],
)


@settings(max_examples=60, deadline=None)
@given(BOXES, st.sampled_from([0.3, 0.5, 0.7]))
def test_suppression_keeps_the_best_and_drops_what_overlaps(
    rows: list[tuple[float, float, float, float, int]], threshold: float
) -> None:
    boxes = np.array([(x, y, x + w, y + h) for x, y, w, h, _ in rows], np.float32).reshape(-1, 4)
    scores = np.array([score / 10**6 for *_, score in rows], np.float32)
    expected: list[int] = []
    for index in np.argsort(-scores, kind="stable").tolist():
        if all(iou(boxes[index], boxes[better][None])[0] <= threshold + 1e-6 for better in expected):
            expected.append(index)
    assert nms(boxes, scores, threshold).tolist() == expected


def test_suppression_against_the_smaller_box() -> None:
    boxes = np.array([[0, 0, 100, 100], [10, 10, 40, 40]], np.float32)
    found = Detections(boxes, np.array([0.9, 0.8], np.float32), np.zeros((2, 5, 2), np.float32))
    assert nms(boxes, found.scores, 0.7).tolist() == [0, 1]
    assert mtcnn.without_nested(found, 0.7).tolist() == [0]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 50), st.integers(1, 50), st.integers(0, 99))
def test_means_over_areas_are_pytorchs(height: int, width: int, rows: int, columns: int, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    ours = mtcnn.area_means(cv2.integral(image), mtcnn.windows(0, height, rows), mtcnn.windows(0, width, columns))
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    theirs = torch.nn.functional.interpolate(tensor, size=(rows, columns), mode="area")[0].permute(1, 2, 0)
    assert np.allclose(ours, theirs.numpy(), atol=1e-3)


@pytest.mark.parametrize("side", [80, 110, 200, 310])
def test_mtcnn_finds_drawn_faces_of_all_sizes(mtcnn_detector: mtcnn.Mtcnn, side: int) -> None:
    placed = [(drawn_face(seed), 10 + 310 * k, 10, side) for k, seed in enumerate((1, 6))]
    found = mtcnn_detector.detect(scene(*placed), min_face_px=40)
    assert len(found) == 2
    for place in placed:
        truth = keypoints_of(*place)
        nearest = min(found.keypoints, key=lambda points: float(np.abs(points - truth).mean()))
        assert np.linalg.norm(nearest - truth, axis=1).mean() < 0.15 * np.linalg.norm(truth[1] - truth[0])


def test_no_face_in_noise_or_nothing(mtcnn_detector: mtcnn.Mtcnn, small_detector: retinaface.RetinaFace) -> None:
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 255, (240, 320, 3), dtype=np.uint8), np.zeros((240, 320, 3), np.uint8)]
    frames += [np.zeros((1, 1, 3), np.uint8), np.zeros((5, 700, 3), np.uint8)]
    for detector in (mtcnn_detector, small_detector):
        for frame in frames:
            assert len(detector.detect(frame, min_face_px=20)) == 0


@needs_media
def test_three_faces_and_none(small_detector: retinaface.RetinaFace) -> None:
    for long_side in (640, 933):
        picture = read_image(MEDIA / "faces" / "ternaus_13.jpg", max_pixels=10**7)
        scale = picture.shape[1] / long_side
        small = cv2.resize(picture, (long_side, round(picture.shape[0] / scale)), interpolation=cv2.INTER_AREA)
        found = small_detector.detect(np.asarray(small, np.uint8), min_face_px=40)
        assert len(found) == 3
        for box in THREE.astype(np.float32):
            best = int(np.argmax(iou(box, found.boxes * scale)))
            assert iou(box, found.boxes * scale)[best] > 0.6
            left_eye, right_eye, nose, left_mouth, right_mouth = found.keypoints[best] * scale
            assert box[0] < left_eye[0] < right_eye[0] < box[2]
            assert left_mouth[0] < right_mouth[0]
            assert left_eye[1] < nose[1] < left_mouth[1] < box[3]
    nothing = read_image(MEDIA / "faces" / "ternaus_no_face.jpg", max_pixels=10**7)
    assert len(small_detector.detect(nothing, min_face_px=40)) == 0


@pytest.mark.parametrize("side", [110, 200, 310])
def test_the_small_retinaface_finds_drawn_faces_by_their_surroundings(
    small_detector: retinaface.RetinaFace, side: int
) -> None:
    placed = [(drawn_face(seed), 10 + 310 * k, 10, side) for k, seed in enumerate((1, 6))]
    image = scene(*placed)
    found, whole = (f(image, min_face_px=40) for f in (small_detector.detect, small_detector.search))
    assert len(found) == len(whole) == 2
    assert min(overlaps(whole.boxes, found)) > 0.9
    for place in placed:
        truth = keypoints_of(*place)
        nearest = min(found.keypoints, key=lambda points: float(np.abs(points - truth).mean()))
        assert np.linalg.norm(nearest - truth, axis=1).mean() < 0.15 * np.linalg.norm(truth[1] - truth[0])


def randomised(network: torch.nn.Module) -> torch.nn.Module:
    """Random weights whose activations neither vanish nor explode."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2, generator=generator)
            module.running_var.uniform_(0.5, 2.0, generator=generator)
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
    return network.eval()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty models/weights."""
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", [name for _, _, names in FACE_DETECTORS.values() for name in names])
def test_an_exported_network_gives_what_the_package_gives(name: str, folder: Path) -> None:
    """Of every size: none is fixed by the export. The RetinaFaces have random weights, which their names all fit."""
    torch.manual_seed(0)
    if name == "retinaface-mobilenet0.25":
        torch.save(randomised(packages.MobileNetRetinaFace()).state_dict(), folder / f"{name}.pth")
    elif name == "retinaface-resnet50":
        layers = {"layer2": 1, "layer3": 2, "layer4": 3}
        network = packages.RetinaFace("Resnet50", False, in_channels=256, return_layers=layers, out_channels=256)
        torch.save(randomised(network).state_dict(), folder / f"{name}.pth")
    exported, whole = networks.load_network(name, "cpu"), packages.on_gpu(name, device="cpu")
    rng = np.random.default_rng(0)
    if name.startswith("retinaface"):
        sizes = ((96, 128), (70, 101))
        inputs = [
            (rng.integers(0, 255, (*size, 3), dtype=np.uint8), retinaface.anchors(*size), np.array(0.4, np.float32))
            for size in sizes
        ]
    else:
        side = {"mtcnn-pnet": 31, "mtcnn-rnet": 24, "mtcnn-onet": 48}[name]
        inputs = [((255 * rng.random((count, side, side, 3))).astype(np.float32),) for count in (1, 5)]
    for each in inputs:
        for ours, theirs in zip(exported(*each), whole(*each), strict=True):
            assert ours.shape == theirs.shape
            assert len(ours)
            assert np.allclose(ours, theirs, rtol=1e-3, atol=1e-3 * float(np.abs(theirs).max()))


def test_a_network_is_exported_once_and_again_for_other_weights(folder: Path) -> None:
    first = networks.exported("mtcnn-rnet")
    assert first.parent == folder
    made = first.stat().st_mtime_ns
    assert networks.exported("mtcnn-rnet") == first
    assert first.stat().st_mtime_ns == made
    state = weights.load_state(weights.locate("mtcnn-rnet"))
    torch.save({key: value + 0.01 for key, value in state.items()}, folder / "mtcnn-rnet.pth")
    assert networks.exported("mtcnn-rnet") != first


@pytest.mark.usefixtures("folder")
def test_a_damaged_export_is_named() -> None:
    path = networks.exported("mtcnn-rnet")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match=rf"{path.name}.*remove it"):
        networks.load_network("mtcnn-rnet", "cpu")


@pytest.mark.parametrize("name", ["mtcnn-onet", "retinaface-mobilenet0.25", "retinaface-resnet50"])
def test_weights_that_do_not_fit_are_named(name: str, folder: Path) -> None:
    torch.save({"body.x": torch.zeros(1)}, folder / f"{name}.pth")
    with pytest.raises(UserError, match=rf"{name}\.pth holds other weights than {name}'s"):
        networks.load_network(name, "cpu")


def test_an_unknown_face_detector_lists_the_known() -> None:
    with pytest.raises(UserError, match=r"'haar'.*retinaface-resnet50.*mtcnn"):
        build_face_detector("haar", **SETTINGS)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_named() -> None:
    with pytest.raises(UserError, match=r"faces\.device is cuda"):
        networks.load_network("mtcnn-rnet", "cuda")
    assert not networks.uses_gpu("auto")


def test_faces_are_detected_without_torch() -> None:
    networks.exported("mtcnn-pnet"), networks.exported("mtcnn-rnet"), networks.exported("mtcnn-onet")
    code = (
        "import sys, numpy as np\n"
        "from dfdetect.config.params import FacesParams\n"
        "from dfdetect.faces.extraction import View, detect_frame, face_detector\n"
        "from dfdetect.media.frames import Frame, RgbPicture\n"
        "params = FacesParams(face_detector='mtcnn', device='auto')\n"
        "frame = Frame(0, 0.0, RgbPicture(np.zeros((64, 64, 3), np.uint8)))\n"
        "detect_frame(frame, View(0, 640, 0.06), face_detector(params), params)\n"
        "print('torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(torch.cuda.is_available())]
