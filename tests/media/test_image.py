"""Images: encoding for storage, reading files, perceptual hashes."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dfdetect.config.params import FacesParams
from dfdetect.errors import MediaError
from dfdetect.media.decoders import ProgramSource
from dfdetect.media.image import decode, decode_grey, encode, image_size, is_image, phash, read_image, read_image_with
from dfdetect.media.video import probe, sample_frames
from tests.drawn_faces import drawn_face
from tests.media.video_files import numbered

CASES = Path(__file__).parents[2].parent / "shared" / "cases" / "images"
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason="../shared/cases, the odd inputs, are not here")


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    return drawn_face(3, size=317).image


def test_jpeg_keeps_colour_at_full_resolution(face: np.ndarray) -> None:
    data = encode(face)
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "JPEG"
        assert [layer[1:3] for layer in image.layer] == [(1, 1)] * 3  # sampling factors: 4:4:4
    assert np.abs(decode(data).astype(int) - face).mean() < 3
    # A colour edge one pixel wide survives, which 4:2:0 would smear.
    stripes = np.zeros((16, 16, 3), np.uint8)
    stripes[:, ::2] = (255, 0, 0)
    stripes[:, 1::2] = (0, 0, 255)
    back = decode(encode(stripes, quality=100)).astype(int)
    assert (back[:, ::2, 0] > 200).all()
    assert (back[:, ::2, 2] < 60).all()


def test_quality_buys_bytes(face: np.ndarray) -> None:
    assert len(encode(face, quality=50)) < len(encode(face, quality=80)) < len(encode(face, quality=95))


def test_png_is_lossless(face: np.ndarray) -> None:
    assert np.array_equal(decode(encode(face, kind="png")), face)
    grey = face[..., 0].copy()
    assert np.array_equal(decode_grey(encode(grey, kind="png")), grey)


def test_encoding_is_repeatable(face: np.ndarray) -> None:
    for kind in ("jpeg", "png"):
        assert encode(face, kind=kind) == encode(face.copy(), kind=kind)


def test_what_cannot_be_encoded_or_decoded() -> None:
    with pytest.raises(ValueError, match="unknown image kind 'gif'"):
        encode(np.zeros((4, 4, 3), np.uint8), kind="gif")
    with pytest.raises(ValueError, match="float64"):
        encode(np.zeros((4, 4, 3)))
    for broken in (b"", b"no image"):
        with pytest.raises(ValueError, match="no image"):
            decode(broken)
        with pytest.raises(ValueError, match="no image"):
            decode_grey(broken)


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int, turns: int) -> None:
    picture = numbered(0b10010111)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "photo.JPG"
    Image.fromarray(picture).save(path, format="JPEG", quality=95, exif=exif)
    upright = np.rot90(picture, turns)
    image = read_image(path, max_pixels=10**6)
    assert image.shape == upright.shape
    assert np.abs(image.astype(int) - upright).mean() < 6
    width, height, rotation_deg = image_size(path)
    assert (height, width) == upright.shape[:2]
    assert rotation_deg == -90 * turns % 360


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [(mode, suffix) for mode in ("RGB", "L") for suffix in (".png", ".webp", ".tiff", ".bmp", ".jpeg")]
    + [(mode, suffix) for mode in ("RGBA", "P", "1", "I;16") for suffix in (".png", ".tiff")]
    + [("RGBA", ".webp")],
)
def test_kinds_of_images_become_rgb(tmp_path: Path, mode: str, suffix: str) -> None:
    grey = np.tile(np.linspace(0, 255, 64), (48, 1))
    image = (
        Image.fromarray((grey * 257).astype(np.uint16))
        if mode == "I;16"
        else Image.fromarray(grey.astype(np.uint8)).convert(mode)
    )
    path = tmp_path / f"x{suffix}"
    image.save(path)
    pixels = read_image(path, max_pixels=10**6)
    assert pixels.shape == (48, 64, 3)
    assert pixels.dtype == np.uint8
    if mode != "1":
        assert np.abs(pixels.astype(float) - grey[..., None]).mean() < 4


def test_what_is_no_image(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    path.write_text("hello")
    with pytest.raises(MediaError, match="no image"):
        read_image(path, max_pixels=100)
    path.write_bytes(encode(numbered(1)))
    with pytest.raises(MediaError, match="max_pixels = 100") as caught:
        read_image(path, max_pixels=100)
    assert caught.value.status == "too_large"


@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_an_image_that_ends_early_is_truncated(tmp_path: Path, kind: str, face: np.ndarray) -> None:
    data = encode(face, kind=kind)
    path = tmp_path / "x.jpg"
    for share in (0.3, 0.9):
        path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(MediaError) as caught:
            read_image(path, max_pixels=10**6)
        assert caught.value.status == "truncated"
    path.write_bytes(data + b"\0" * 100)  # some cameras pad
    assert read_image(path, max_pixels=10**6).shape == face.shape


def test_is_image_goes_by_the_suffix() -> None:
    assert all(is_image(Path(f"a{s}")) for s in (".jpg", ".JPEG", ".png", ".bmp", ".tiff", ".webp"))
    assert not any(is_image(Path(name)) for name in ("a.mp4", "jpg", "a.jpg.mp4"))


def test_hash_of_a_known_picture() -> None:
    x, y = np.meshgrid(np.arange(256), np.arange(256))
    picture = np.stack([x ^ y, x * y // 256, x // 16 * 16], axis=-1).astype(np.uint8)
    assert phash(picture) == 0x634E8D7E74A4D449  # stored hashes are compared across machines and releases


def test_hashes_of_the_same_face_are_near_and_of_others_far(face: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    noisy = np.clip(face + rng.normal(0, 6, face.shape), 0, 255).astype(np.uint8)
    small = np.asarray(Image.fromarray(face).resize((160, 160), Image.Resampling.LANCZOS))
    near = [phash(decode(encode(face, quality=40))), phash(noisy), phash(small), phash(np.clip(face, 0, 235) + 20)]
    assert max((phash(face) ^ other).bit_count() for other in near) <= 8
    others = [phash(drawn_face(seed, size=317).image) for seed in range(4, 24)]
    assert np.median([(phash(face) ^ other).bit_count() for other in others]) >= 14  # some drawn faces are alike


def test_hash_does_not_hang_on_flat_pictures() -> None:
    for value in (0, 128, 255):
        assert phash(np.full((40, 40, 3), value, np.uint8)) == 0


def behind(kind: str, image: bytes) -> bytes:
    """What is found behind images: archives, videos, text, other images, padding."""
    random = np.random.default_rng(0)
    if kind == "zip":
        return b"PK\3\4" + random.bytes(3000) + b"\xff\xda" + random.bytes(3000) + b"PK\5\6" + bytes(18)
    if kind == "video":
        return b"\0\0\0\x18ftypmp42" + random.bytes(100_000)
    return {"text": b"hello " * 9000, "image": image, "end": b"\xff\xd9", "zeros": bytes(5000), "nothing": b""}[kind]


KINDS = {
    "baseline": {"format": "JPEG", "quality": 90},
    "progressive": {"format": "JPEG", "quality": 90, "progressive": True},
    "restarts": {"format": "JPEG", "quality": 90, "restart_marker_rows": 1},
    "png": {"format": "PNG"},
    "webp": {"format": "WEBP", "quality": 90},
    "bmp": {"format": "BMP"},
    "tiff": {"format": "TIFF"},
}


@pytest.mark.parametrize("tail", ["nothing", "zip", "video", "text", "image", "zeros"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_whole_image_is_read_whatever_lies_behind(
    tmp_path: Path, face: np.ndarray, kind: str, tail: str, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = io.BytesIO()
    Image.fromarray(face).save(stored, **KINDS[kind], **({} if kind == "bmp" else {"exif": exif}))
    path = tmp_path / "x.jpg"
    path.write_bytes(stored.getvalue() + behind(tail, stored.getvalue()))
    image = read_image(path, max_pixels=10**6)
    upright = face if orientation == 1 or kind == "bmp" else np.rot90(face, -1)
    assert np.abs(image.astype(int) - upright).mean() < 6


@pytest.mark.parametrize("tail", ["nothing", "zip", "video", "text", "image", "end", "zeros"])
@pytest.mark.parametrize("share", [0.35, 0.6, 0.93])
@pytest.mark.parametrize("kind", ["baseline", "progressive", "restarts", "png"])
def test_a_cut_image_is_truncated_whatever_lies_behind(
    tmp_path: Path, face: np.ndarray, kind: str, share: float, tail: str
) -> None:
    stored = io.BytesIO()
    Image.fromarray(face).save(stored, **KINDS[kind])
    data = stored.getvalue()
    path = tmp_path / "x.jpg"
    path.write_bytes(data[: int(len(data) * share)] + behind(tail, data))
    with pytest.raises(MediaError, match="ends early") as caught:
        read_image(path, max_pixels=10**6)
    assert caught.value.status == "truncated"


@pytest.mark.parametrize("share", [0.35, 0.6, 0.93])
@pytest.mark.parametrize("kind", ["webp", "bmp", "tiff", "lzw"])
def test_other_kinds_that_are_cut_are_truncated_too(tmp_path: Path, face: np.ndarray, kind: str, share: float) -> None:
    stored = io.BytesIO()
    Image.fromarray(face).save(stored, **KINDS.get(kind, {"format": "TIFF", "compression": "tiff_lzw"}))
    path = tmp_path / "x.png"
    path.write_bytes(stored.getvalue()[: int(len(stored.getvalue()) * share)])
    with pytest.raises(MediaError) as caught:
        sample_frames(path, 1)
    assert caught.value.status == "truncated"


def test_a_thumbnail_within_a_cut_image_is_not_its_end(tmp_path: Path, face: np.ndarray) -> None:
    small, stored = io.BytesIO(), io.BytesIO()
    Image.fromarray(face).resize((64, 64)).save(small, format="JPEG")
    Image.fromarray(face).save(stored, format="JPEG")
    data = stored.getvalue()
    thumbnail = b"\xff\xe1" + (2 + len(small.getvalue())).to_bytes(2, "big") + small.getvalue()
    path = tmp_path / "x.jpg"
    path.write_bytes(data[:2] + thumbnail + data[2:])
    assert read_image(path, max_pixels=10**6).shape == face.shape
    path.write_bytes((data[:2] + thumbnail + data[2:])[:-200])
    with pytest.raises(MediaError, match="ends early"):
        read_image(path, max_pixels=10**6)


def test_grey_corners_are_no_sign_of_damage(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(encode(np.full((64, 64, 3), 128, np.uint8)))
    assert (read_image(path, max_pixels=10**6) == 128).all()


def test_pillow_and_ffmpeg_read_what_opencv_refuses_and_are_named(
    tmp_path: Path, face: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(encode(face, kind="png"))
    assert read_image_with(path, max_pixels=10**6)[1] == "OpenCV"
    assert sample_frames(path, 1).decoded.reason is None

    def by(name: str) -> str | None:
        sample = sample_frames(path, 1)
        assert np.abs(sample.frames[0].rgb.astype(int) - face).mean() < 1
        assert sample.decoded.status == "ok"
        assert name in str(sample.decoded.reason)
        return sample.decoded.reason

    monkeypatch.setattr("cv2.imdecode", lambda *_: None)
    assert by("Pillow") == "read by Pillow, since the usual decoder cannot"

    def refuse(*_: object) -> None:
        raise OSError("broken data stream")

    monkeypatch.setattr("PIL.ImageOps.exif_transpose", refuse)
    by("PyAV")
    monkeypatch.setattr("dfdetect.media.video.DECODERS", (ProgramSource,))
    by("FFmpeg's program")
    monkeypatch.setattr("dfdetect.media.video.DECODERS", ())
    with pytest.raises(MediaError, match="broken data stream"):
        sample_frames(path, 1)  # what no reader reads has the first one's reason


def test_a_damaged_png_is_read_by_another_library(tmp_path: Path, face: np.ndarray) -> None:
    data = bytearray(encode(face, kind="png"))
    at = data.index(b"IDAT") + 4 + int.from_bytes(data[data.index(b"IDAT") - 4 : data.index(b"IDAT")], "big")
    data[at : at + 4] = b"\0\0\0\0"  # a checksum
    path = tmp_path / "x.png"
    path.write_bytes(bytes(data))
    sample = sample_frames(path, 1)
    assert np.abs(sample.frames[0].rgb.astype(int) - face).mean() < 1


def test_phones_photos_pass(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    Image.new("RGB", (8160, 6144), (90, 120, 60)).save(path, format="JPEG")
    assert probe(path).width == 8160
    assert sample_frames(path, 1).frames[0].width == 8160
    assert FacesParams().max_pixels >= 9248 * 6936


@needs_cases
@pytest.mark.parametrize(
    ("name", "status"), [("zip_behind.jpg", "ok"), ("motion_photo.jpg", "ok"), ("cut_at_60_percent.jpg", "truncated")]
)
def test_odd_images(name: str, status: str) -> None:
    if status == "ok":
        assert sample_frames(CASES / name, 1).frames[0].rgb.shape == (640, 640, 3)
    else:
        with pytest.raises(MediaError) as caught:
            sample_frames(CASES / name, 1)
        assert caught.value.status == status
