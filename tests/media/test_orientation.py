"""Displayed as it should be: every turn and mirror image of videos and images, alike for the probe and the reader."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageCms

from dfdetect.media.frames import Orientation
from dfdetect.media.image import image_size, read_image
from dfdetect.media.video import probe, sample_frames
from tests.media.heif import write_grid
from tests.media.video_files import numbered, write_video

ROOT = Path(__file__).parents[2]
CASES = ROOT.parent / "shared" / "cases"
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason="../shared/cases, the odd inputs, are not here")
PICTURE = numbered(0b10110001)
# EXIF orientation -> what is done to stored pixels, and the turn (degrees clockwise) that is in it.
UPRIGHT = {
    1: (lambda image: image, 0),
    2: (lambda image: image[:, ::-1], 0),
    3: (lambda image: image[::-1, ::-1], 180),
    4: (lambda image: image[::-1], 0),
    5: (lambda image: image.swapaxes(0, 1), 90),
    6: (lambda image: np.rot90(image, -1), 90),
    7: (lambda image: image.swapaxes(0, 1)[::-1, ::-1], 270),
    8: (lambda image: np.rot90(image), 270),
}
# The same as display matrices: a, b, c, d of x' = a x + c y and y' = b x + d y.
MATRICES = {
    1: (1, 0, 0, 1),
    2: (-1, 0, 0, 1),
    3: (-1, 0, 0, -1),
    4: (1, 0, 0, -1),
    5: (0, 1, 1, 0),
    6: (0, 1, -1, 0),
    7: (0, -1, -1, 0),
    8: (0, -1, 1, 0),
}


def with_matrix(path: Path, matrix: tuple[float, float, float, float]) -> Path:
    """A clip of three equal frames whose track header holds a display matrix."""
    write_video(path, [PICTURE] * 3)
    data = path.read_bytes()
    identity = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    track = data.index(identity, data.index(b"tkhd"))
    a, b, c, d = (round(value * (1 << 16)) for value in matrix)
    path.write_bytes(data[:track] + struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30) + data[track + 36 :])
    return path


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("name", ["a.mp4", "a.mov"])
def test_every_display_matrix(tmp_path: Path, orientation: int, name: str) -> None:
    path = with_matrix(tmp_path / name, MATRICES[orientation])
    upright, rotation_deg = UPRIGHT[orientation]
    frame = sample_frames(path, 1).frames[0]
    expected = upright(PICTURE)
    assert frame.rgb.shape == expected.shape
    assert np.abs(frame.rgb.astype(int) - expected).mean() < 6
    info = probe(path)
    assert (info.width, info.height, info.rotation_deg) == (frame.width, frame.height, rotation_deg)
    for box in ((6, 10, 60, 50), (5, 11, 62, 47), (0, 0, frame.width, frame.height)):
        x0, y0, x1, y1 = box
        assert np.array_equal(frame.patch(box), frame.rgb[y0:y1, x0:x1])
        small = frame.resized(box, (x1 - x0) // 2, (y1 - y0) // 2)
        means = frame.rgb[y0:y1, x0:x1][: small.shape[0] * 2, : small.shape[1] * 2].astype(float)
        means = means.reshape(small.shape[0], 2, small.shape[1], 2, 3).mean(axis=(1, 3))
        assert np.abs(small - means).mean() < 9


@pytest.mark.parametrize(
    ("matrix", "nearest"), [((0.9, 0.4, -0.4, 0.9), 1), ((0.3, 0.95, 0.95, -0.3), 5), ((0, 0, 0, 0), 1)]
)
def test_a_turn_between_quarters_is_the_nearest_quarter(
    tmp_path: Path, matrix: tuple[float, float, float, float], nearest: int
) -> None:
    frame = sample_frames(with_matrix(tmp_path / "a.mp4", matrix), 1).frames[0]
    assert np.abs(frame.rgb.astype(int) - UPRIGHT[nearest][0](PICTURE)).mean() < 6


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize(
    "name", ["a.jpg", "a.png", "a.webp", "a.tif", "b.tiff", "a.avif", "avif.jpg", "webp.png", "tiff.jpg"]
)
def test_every_orientation_of_an_image(tmp_path: Path, orientation: int, name: str) -> None:
    """Also of those whose name says another kind."""
    kinds = {"a.jpg": "JPEG", "a.png": "PNG", "a.webp": "WEBP", "a.avif": "AVIF", "avif.jpg": "AVIF"}
    kind = {**kinds, "webp.png": "WEBP"}.get(name, "TIFF")
    path = tmp_path / name
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"compression": "tiff_lzw"} if name == "b.tiff" else {"quality": 95} if kind in ("JPEG", "AVIF") else {}
    Image.fromarray(PICTURE).save(path, format=kind, exif=exif, **options)
    upright, rotation_deg = UPRIGHT[orientation]
    expected = upright(PICTURE)
    (frame,) = sample_frames(path, 1).frames
    assert frame.rgb.shape == expected.shape
    assert np.abs(frame.rgb.astype(int) - expected).mean() < 6
    info = probe(path)
    assert (info.width, info.height, info.rotation_deg) == (frame.width, frame.height, rotation_deg)
    if path.suffix != ".avif":
        assert image_size(path) == (frame.width, frame.height, rotation_deg)
        assert np.array_equal(read_image(path, max_pixels=10**6), frame.rgb)


@pytest.mark.parametrize(
    ("boxes", "upright"),
    [
        (b"", lambda image: image),
        (b"\0\0\0\x09irot\1", np.rot90),
        (b"\0\0\0\x09irot\3", lambda image: np.rot90(image, -1)),
        (b"\0\0\0\x09imir\0", lambda image: image[::-1]),
        (b"\0\0\0\x09imir\1", lambda image: image[:, ::-1]),
        (b"\0\0\0\x09irot\1\0\0\0\x09imir\1", lambda image: np.rot90(image)[:, ::-1]),
    ],
)
@pytest.mark.parametrize("name", ["a.heic", "photo.jpg"])
def test_tiles_are_put_together_and_turned(tmp_path: Path, boxes: bytes, upright: object, name: str) -> None:
    image = numbered(0b10110001, 384, 256)
    path = write_grid(tmp_path / name, image, 3, 2, properties=boxes)
    sample = sample_frames(path, 4)
    expected = upright(image)  # type: ignore[operator]
    assert sample.frames[0].rgb.shape == expected.shape
    assert np.abs(sample.frames[0].rgb.astype(int) - expected).mean() < 8
    assert sample.decoded.frames == 1
    assert "FFmpeg's program" in str(sample.decoded.reason)
    info = probe(path)
    assert (info.height, info.width) == expected.shape[:2]


def test_profiles_and_tags_that_pyav_stumbles_over_do_no_harm(tmp_path: Path) -> None:
    """In a process of its own: PyAV frees the name of a PNG's colour profile twice, and does not know EXIF."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x010F] = "maker"
    for kind in ("png", "tiff", "jpeg"):
        Image.fromarray(PICTURE).save(tmp_path / f"{kind}.mp4", format=kind, icc_profile=profile, exif=exif)
    code = (
        "import gc, sys; from pathlib import Path; from dfdetect.media.video import probe, sample_frames\n"
        "for path in sys.argv[1:] * 5:\n"
        "    print(probe(Path(path)).width, sample_frames(Path(path), 1).frames[0].rgb.shape[1]); gc.collect()"
    )
    paths = [str(path) for path in sorted(tmp_path.iterdir())]
    done = subprocess.run([sys.executable, "-c", code, *paths], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()) == (0, ["128"] * 30), done.stderr


def test_an_orientation_undoes_its_box() -> None:
    for orientation in (Orientation(t, x, y) for t in (False, True) for x in (False, True) for y in (False, True)):
        stored = np.arange(7 * 5 * 3, dtype=np.uint8).reshape(7, 5, 3)
        shown = orientation.upright(stored)
        height, width = shown.shape[:2]
        assert orientation.size(5, 7) == (width, height)
        x0, y0, x1, y1 = orientation.stored((1, 2, 4, 5), width, height)
        assert np.array_equal(orientation.upright(stored[y0:y1, x0:x1]), shown[2:5, 1:4])


@needs_cases
def test_odd_geometry() -> None:
    plain = sample_frames(CASES / "geometry" / "plain.mp4", 5).frames
    for name in ("matrix_hflip.mp4", "matrix_vflip.mp4"):
        info = probe(CASES / "geometry" / name)
        assert (info.width, info.height, info.rotation_deg) == (320, 320, 0)
        for frame, other in zip(sample_frames(CASES / "geometry" / name, 5).frames, plain, strict=True):
            differences = [np.abs(frame.rgb.astype(int) - image).mean() for image in (other.rgb, other.rgb[:, ::-1])]
            assert min(differences) < 8


@needs_cases
def test_odd_images() -> None:
    info = probe(CASES / "images" / "orientation6.tif")
    (frame,) = sample_frames(CASES / "images" / "orientation6.tif", 1).frames
    assert (info.width, info.height) == (frame.width, frame.height) == (270, 360)
    tiles = CASES / "images" / "grid_of_four_tiles.heic"
    assert (probe(tiles).width, probe(tiles).height) == (1024, 1024)
    assert sample_frames(tiles, 1).frames[0].rgb.shape == (1024, 1024, 3)
    with av.open(str(tiles)) as container:
        assert container.streams.video[0].width == 512  # of one tile, which PyAV alone would show
