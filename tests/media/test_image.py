"""Images: encoding for storage, reading files, perceptual hashes."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dfdetect.errors import MediaError
from dfdetect.media.image import decode, decode_grey, encode, hamming, image_size, is_image, phash, read_image
from tests.drawn_faces import drawn_face
from tests.media.video_files import numbered


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
    assert hamming(phash(face), near).max() <= 8
    others = [phash(drawn_face(seed, size=317).image) for seed in range(4, 24)]
    assert np.median(hamming(phash(face), others)) >= 14  # some drawn faces are alike


def test_hash_does_not_hang_on_flat_pictures() -> None:
    for value in (0, 128, 255):
        assert phash(np.full((40, 40, 3), value, np.uint8)) == 0


@settings(max_examples=50)
@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=20), st.integers(0, 2**64 - 1))
def test_hamming_counts_differing_bits(hashes: list[int], other: int) -> None:
    found = hamming(np.array(hashes, np.uint64), np.uint64(other))
    assert found.tolist() == [(value ^ other).bit_count() for value in hashes]
    matrix = hamming(np.array(hashes, np.uint64)[:, None], np.array(hashes, np.uint64)[None])
    assert np.array_equal(matrix, matrix.T)
    assert not matrix.diagonal().any()
