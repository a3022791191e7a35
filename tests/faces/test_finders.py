"""The finders: equal to the packages whose weights they use, fast ways and slow ways alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from retinaface.box_utils import decode as their_decode
from retinaface.box_utils import decode_landm
from retinaface.prior_box import priorbox

from dfdetect.errors import UserError
from dfdetect.faces import detectors as finders
from dfdetect.faces import mtcnn, retinaface
from dfdetect.faces.detectors import (
    FINDERS,
    Detections,
    Finder,
    FinderSettings,
    build_finder,
    by_size,
    iou,
    suppress,
    suppress_each,
)
from dfdetect.io import pretrained as weights
from dfdetect.media.frames import Rgb
from dfdetect.media.image import read_image
from tests.drawn_faces import DrawnFace, drawn_face

SHARED = Path(__file__).parents[2].parent / "shared"
SMALL = SHARED / "weights" / "retinaface_mobilenet0.25.pth"
SETTINGS = FinderSettings(score_threshold=0.9, min_face_ratio=0.0625, nms_threshold=0.4, device="cpu")
needs_media = pytest.mark.skipif(not (SHARED / "media").is_dir(), reason="../shared/media is not here")
needs_weights = pytest.mark.skipif(not SMALL.is_file(), reason=f"../shared/weights/{SMALL.name} is not here")

# RetinaFace-ResNet50's boxes in ternaus_13.jpg, from that project's tests.
THREE = np.array([[256.9, 93.64, 336.79, 201.76], [436.62, 118.5, 510.04, 211.13], [657.3, 156.87, 729.81, 245.78]])


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def mtcnn_finder() -> Finder:
    return build_finder("mtcnn", SETTINGS)


@pytest.fixture(scope="module")
def small_finder() -> retinaface.MobileNetFinder:
    if not SMALL.is_file():
        pytest.skip(f"../shared/weights/{SMALL.name} is not here")
    return retinaface.MobileNetFinder(SETTINGS, weights.load_state(SMALL))


def scene(*faces: tuple[DrawnFace, int, int, int], width: int = 640, height: int = 360) -> Rgb:
    """Drawn faces on a plain ground, each at x, y with a side in px."""
    image = np.full((height, width, 3), (110, 120, 125), np.uint8)
    for face, x, y, side in faces:
        image[y : y + side, x : x + side] = cv2.resize(face.image, (side, side), interpolation=cv2.INTER_AREA)
    return image


def keypoints_of(face: DrawnFace, x: int, y: int, side: int) -> np.ndarray:
    return face.keypoints * side / len(face.image) + (x, y)


def test_anchors_equal_the_packages() -> None:
    for height, width in ((360, 640), (97, 33), (288, 360)):
        sizes = [list(pair) for pair in retinaface.MIN_SIZES]
        theirs = priorbox(sizes, list(retinaface.STEPS), clip=False, image_size=(height, width)).numpy()
        ours = retinaface.anchors(height, width)
        scale = np.array([width, height, width, height])
        assert np.allclose(ours[:, [0, 1, 2, 2]], theirs * scale, atol=1e-3)


def test_decoding_equals_the_packages() -> None:
    rng = np.random.default_rng(0)
    prior = retinaface.anchors(64, 96)
    offsets = rng.normal(0, 1, (len(prior), 4)).astype(np.float32)
    points = rng.normal(0, 1, (len(prior), 10)).astype(np.float32)
    boxes, keypoints = retinaface.decode(prior, offsets, points)
    squares = torch.from_numpy(prior[:, [0, 1, 2, 2]])
    assert np.allclose(boxes, their_decode(torch.from_numpy(offsets), squares, [0.1, 0.2]).numpy(), atol=1e-3)
    theirs = decode_landm(torch.from_numpy(points), squares, [0.1, 0.2]).numpy()
    assert np.allclose(keypoints.reshape(-1, 10), theirs, atol=1e-3)


def randomised(network: torch.nn.Module) -> torch.nn.Module:
    """Random weights whose activations neither vanish nor explode."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2, generator=generator)
            module.running_var.uniform_(0.5, 2.0, generator=generator)
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
    return network.eval()


@pytest.mark.parametrize("body", ["mobilenet", "resnet"])
def test_folding_batch_norm_changes_nothing(body: str) -> None:
    torch.manual_seed(0)
    network = (
        retinaface.RetinaFace(retinaface._MobileNet(), (64, 128, 256), 64)
        if body == "mobilenet"
        else retinaface.RetinaFace(retinaface._ResNet50(), (512, 1024, 2048), 256)
    )
    randomised(network)
    folded = retinaface.fold_batch_norm(network)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    assert any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())
    x = torch.randn(1, 3, 96, 64)
    with torch.inference_mode():
        for ours, theirs in zip(folded(x), network(x), strict=True):
            assert torch.allclose(ours, theirs, rtol=1e-3, atol=1e-3 * float(theirs.abs().max()))


@pytest.mark.slow
def test_the_resnet_network_equals_the_packages() -> None:
    """Same names, same shapes, same outputs: the published weights fit."""
    from retinaface.network import RetinaFace

    layers = {"layer2": 1, "layer3": 2, "layer4": 3}
    theirs = randomised(RetinaFace("Resnet50", False, in_channels=256, return_layers=layers, out_channels=256))
    ours = retinaface.RetinaFace(retinaface._ResNet50(), (512, 1024, 2048), 256).eval()
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(1, 3, 70, 100)
    with torch.inference_mode():
        boxes, logits, points = theirs(x)
        for a, b in zip(ours(x), (logits, boxes, points), strict=True):
            assert torch.allclose(a, b, rtol=1e-4, atol=1e-5 * float(b.abs().max()))


BOXES = st.lists(
    st.tuples(st.floats(0, 80), st.floats(0, 80), st.floats(1, 60), st.floats(1, 60), st.integers(0, 10**6)),
    max_size=30,
    unique_by=lambda box: box[4],
)


@settings(max_examples=60, deadline=None)
@given(BOXES, st.sampled_from([0.3, 0.5, 0.7]))
def test_suppression_keeps_the_best_and_drops_what_overlaps(
    rows: list[tuple[float, float, float, float, int]], limit: float
) -> None:
    boxes = np.array([(x, y, x + w, y + h) for x, y, w, h, _ in rows], np.float32).reshape(-1, 4)
    scores = np.array([score / 10**6 for *_, score in rows], np.float32)
    kept = suppress(boxes, scores, limit).tolist()
    expected: list[int] = []
    for index in np.argsort(-scores, kind="stable").tolist():
        if all(iou(boxes[index], boxes[better][None])[0] <= limit + 1e-6 for better in expected):
            expected.append(index)
    assert kept == expected


@settings(max_examples=60, deadline=None)
@given(BOXES, st.integers(1, 6), st.integers(1, 40), st.sampled_from([1, 50, 10**6]), st.booleans())
def test_suppression_of_many_frames_is_that_of_each(
    rows: list[tuple[float, float, float, float, int]], frames: int, most: int, pairs: int, smaller: bool
) -> None:
    boxes = np.array([(x, y, x + w, y + h) for x, y, w, h, _ in rows], np.float32).reshape(-1, 4)
    scores = np.array([score / 10**6 for *_, score in rows], np.float32)
    owner = np.array([score % frames for *_, score in rows], np.intp)
    with patch.object(finders, "MAX_PAIRS", pairs), patch.object(finders, "MAX_BOXES", most):
        found = suppress_each(boxes, scores, owner, 0.5, of_smaller=smaller).tolist()
        each = [np.flatnonzero(owner == frame) for frame in range(frames)]
        kept = [mine[suppress(boxes[mine], scores[mine], 0.5, of_smaller=smaller)] for mine in each]
    assert found == np.concatenate(kept).tolist()


def test_suppression_against_the_smaller_box() -> None:
    boxes = np.array([[0, 0, 100, 100], [10, 10, 40, 40]], np.float32)
    scores = np.array([0.9, 0.8], np.float32)
    assert suppress(boxes, scores, 0.7).tolist() == [0, 1]
    assert suppress(boxes, scores, 0.7, of_smaller=True).tolist() == [0]


def test_frames_of_different_sizes_are_searched_in_batches_of_one_size() -> None:
    calls: list[list[tuple[int, ...]]] = []

    def find(frames: list[Rgb]) -> list[Detections]:
        calls.append([frame.shape for frame in frames])
        return [
            Detections(np.full((1, 4), f[0, 0, 0], np.float32), np.ones(1, np.float32), np.zeros((1, 5, 2), np.float32))
            for f in frames
        ]

    frames = [np.full((4 + 2 * (i % 2), 4, 3), i, np.uint8) for i in range(7)]
    found = by_size(frames, 3, find)
    assert [int(each.boxes[0, 0]) for each in found] == list(range(7))
    assert all(len(call) <= 3 and len(set(call)) == 1 for call in calls)


@pytest.mark.parametrize("side", [80, 110, 200, 310])
def test_mtcnn_finds_drawn_faces_of_all_sizes(mtcnn_finder: Finder, side: int) -> None:
    placed = [(drawn_face(seed), 10 + 310 * k, 10, side) for k, seed in enumerate((1, 6))]
    image = scene(*placed)
    (found,) = mtcnn_finder.find([image])
    assert len(found) == 2
    for place in placed:
        truth = keypoints_of(*place)
        nearest = min(found.keypoints, key=lambda points: float(np.abs(points - truth).mean()))
        assert np.linalg.norm(nearest - truth, axis=1).mean() < 0.15 * np.linalg.norm(truth[1] - truth[0])


def test_a_batch_gives_what_single_frames_give(mtcnn_finder: Finder) -> None:
    faces = [drawn_face(seed) for seed in (1, 6, 9)]
    frames = [scene((faces[i % 3], 30 * i, 10 * i, 120 + 10 * i)) for i in range(5)]
    frames += [scene(), scene((faces[0], 20, 20, 70)), scene((faces[1], 5, 5, 200), width=320, height=240)]
    together = mtcnn_finder.find(frames)
    assert [len(each) for each in together] == [1] * 5 + [0, 1, 1]
    for frame, found in zip(frames, together, strict=True):
        (alone,) = mtcnn_finder.find([frame])
        assert np.allclose(alone.boxes, found.boxes, atol=0.05)
        assert np.allclose(alone.scores, found.scores, atol=1e-3)
        assert np.allclose(alone.keypoints, found.keypoints, atol=0.05)


def test_no_face_in_noise_or_nothing(mtcnn_finder: Finder) -> None:
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 255, (240, 320, 3), dtype=np.uint8), np.zeros((240, 320, 3), np.uint8)]
    frames += [np.zeros((1, 1, 3), np.uint8), np.zeros((5, 700, 3), np.uint8)]
    assert [len(found) for found in mtcnn_finder.find(frames)] == [0] * 4


@pytest.mark.slow
def test_mtcnn_agrees_with_the_package(mtcnn_finder: Finder) -> None:
    from facenet_pytorch import MTCNN

    faces = [drawn_face(seed, tilt_deg=tilt) for seed, tilt in ((1, 0), (4, 12), (6, -15), (9, 5))]
    image = scene(*((face, 10 + 155 * k, 20 + 40 * k, 150) for k, face in enumerate(faces)))
    images = [image]
    if (SHARED / "media").is_dir():
        for name in ("multiface.jpg", "ternaus_13.jpg"):
            picture = read_image(SHARED / "media" / "faces" / name, max_pixels=10**7)
            height, width = picture.shape[:2]
            images.append(cv2.resize(picture, (640, round(640 * height / width)), interpolation=cv2.INTER_AREA))
    for picture in images:
        minimum = 0.0625 * max(picture.shape)
        theirs, scores = MTCNN(keep_all=True, min_face_size=minimum, device="cpu").detect(picture)
        (ours,) = mtcnn_finder.find([picture])
        sure = theirs[scores >= 0.9].astype(np.float32)
        assert len(ours) == len(sure) >= 3
        assert all(iou(box, ours.boxes).max() > 0.75 for box in sure)


def test_the_networks_equal_the_packages_layer_by_layer() -> None:
    """Normalisation folded into the first convolution gives the same maps as normalised input."""
    state = weights.load_state(weights.locate("mtcnn-onet"))
    x = torch.rand(2, 3, 48, 48, generator=torch.Generator().manual_seed(0)) * 255
    folded = mtcnn.finish(x, mtcnn._take_raw_pixels(state))
    plain = mtcnn.finish((x - 127.5) / 128, state)
    for a, b in zip(folded, plain, strict=True):
        assert torch.allclose(a, b, atol=1e-4)


@settings(max_examples=60, deadline=None)
@given(st.integers(3, 50), st.integers(3, 50), st.integers(0, 2**31))
def test_pooling_by_comparisons_is_max_pooling(height: int, width: int, seed: int) -> None:
    x = torch.randn(2, 5, height, width, generator=torch.Generator().manual_seed(seed))
    wanted = F.max_pool2d(x, 3, 2, ceil_mode=True)
    for layout in (torch.contiguous_format, torch.channels_last):
        given_x = x.contiguous(memory_format=layout)
        assert torch.equal(mtcnn.pool3(given_x), wanted)
        assert torch.equal(given_x, x)


def test_channels_of_zeros_change_no_proposal() -> None:
    state = weights.load_state(weights.locate("mtcnn-pnet"))
    wider = mtcnn._widen(state)
    assert wider["conv1.weight"].shape[0] == wider["conv2.weight"].shape[1] == 16
    x = torch.rand(2, 3, 40, 50, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for a, b in zip(mtcnn.propose(x, wider), mtcnn.propose(x, state), strict=True):
        assert torch.allclose(a, b, rtol=0, atol=1e-6)


@needs_media
@needs_weights
def test_three_faces_and_none(small_finder: Finder) -> None:
    for long_side in (640, 933):
        picture = read_image(SHARED / "media" / "faces" / "ternaus_13.jpg", max_pixels=10**7)
        scale = picture.shape[1] / long_side
        small = cv2.resize(picture, (long_side, round(picture.shape[0] / scale)), interpolation=cv2.INTER_AREA)
        (found,) = small_finder.find([np.asarray(small, np.uint8)])
        assert len(found) == 3
        for box in THREE.astype(np.float32):
            best = int(np.argmax(iou(box, found.boxes * scale)))
            assert iou(box, found.boxes * scale)[best] > 0.6
            left_eye, right_eye, nose, left_mouth, right_mouth = found.keypoints[best] * scale
            assert box[0] < left_eye[0] < right_eye[0] < box[2]
            assert left_mouth[0] < right_mouth[0]
            assert left_eye[1] < nose[1] < left_mouth[1] < box[3]
    nothing = read_image(SHARED / "media" / "faces" / "ternaus_no_face.jpg", max_pixels=10**7)
    assert [len(found) for found in small_finder.find([nothing])] == [0]


@needs_weights
@pytest.mark.parametrize("side", [110, 200, 310])
def test_the_small_retinaface_finds_drawn_faces_in_every_pass(small_finder: Finder, side: int) -> None:
    placed = [(drawn_face(seed), 10 + 310 * k, 10, side) for k, seed in enumerate((1, 6))]
    (found,) = small_finder.find([scene(*placed)])
    assert len(found) == 2
    for place in placed:
        truth = keypoints_of(*place)
        nearest = min(found.keypoints, key=lambda points: float(np.abs(points - truth).mean()))
        assert np.linalg.norm(nearest - truth, axis=1).mean() < 0.2 * np.linalg.norm(
            truth[1] - truth[0]
        )  # of 120 faces: 0.175 at most


@needs_weights
def test_a_small_face_beside_none_is_searched_for_at_full_size(small_finder: retinaface.MobileNetFinder) -> None:
    image = scene((drawn_face(1), 300, 100, 100))
    (found,) = small_finder.find([image])
    (full,) = small_finder._search([image])
    assert len(found) == len(full) == 1
    assert np.allclose(found.boxes, full.boxes)


def test_large_frames_go_through_the_network_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    network = retinaface.RetinaFace(retinaface._MobileNet(), (64, 128, 256), 64)
    finder = retinaface.MobileNetFinder(replace(SETTINGS, device="cpu"), network.state_dict())
    passes: list[list[int]] = []

    def recorded(frames: list[Rgb]) -> list[Detections]:
        passes.append([int(frame[0, 0, 0]) for frame in frames])
        return [Detections.none() for _ in frames]

    monkeypatch.setattr(finder, "_pass", recorded)
    for side, wanted in ((640, [[0, 1], [2, 3], [4]]), (2000, [[0], [1], [2], [3], [4]]), (160, [[0, 1, 2, 3, 4]])):
        passes.clear()
        frames = [np.full((side, side, 3), number, np.uint8) for number in range(5)]
        assert len(finder.find(frames, thorough=True)) == 5
        assert passes == wanted


def test_weights_that_do_not_fit_are_named() -> None:
    with pytest.raises(UserError, match="RetinaFace weights do not fit MobileNetFinder"):
        retinaface.MobileNetFinder(SETTINGS, {"body.x": torch.zeros(1)})
    with pytest.raises(UserError, match="MTCNN weights do not fit"):
        mtcnn.MtcnnFinder(SETTINGS, {}, {}, {})


def test_an_unknown_finder_lists_the_known() -> None:
    with pytest.raises(UserError, match=r"'haar'.*retinaface-resnet50.*mtcnn"):
        build_finder("haar", SETTINGS)
    assert set(FINDERS) == {"retinaface-resnet50", "retinaface-mobilenet0.25", "mtcnn"}
