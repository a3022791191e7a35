"""Which audio track is read, what its channels become, and tracks that are empty, unknown or encrypted."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import av
import ffmpeg
import numpy as np
import pytest

from dfdetect.audio.mels import mel_video
from dfdetect.config.params import MelsParams
from dfdetect.errors import MediaError
from dfdetect.media.audio import decode_audio, downmix_weights
from dfdetect.media.tracks import choose_audio_stream
from dfdetect.media.video import probe, sample_frames
from dfdetect.runtime.video_stage import Video
from tests.media.flash_and_beep import remux, run, write
from tests.sound_files import tone, write_sound

CASES = Path(__file__).parents[2].parent / "shared" / "cases" / "tracks"
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason="../shared/cases, the odd inputs, are not here")
H264 = {"vcodec": "libx264", "acodec": "aac"}
RATE = 16000


def pitch_hz(samples: np.ndarray) -> float:
    """Of the loudest tone."""
    return float(np.abs(np.fft.rfft(samples * np.hanning(len(samples)))).argmax() * RATE / len(samples))


def level(samples: np.ndarray) -> float:
    """RMS."""
    return float(np.sqrt(np.mean(samples**2)))


def mel_of(path: Path) -> tuple[str, str | None, np.ndarray]:
    """Status, reason and spectrogram as the mels stage stores them."""
    (row,) = mel_video(Video("v", path, "x", None, None), MelsParams()).table.to_pylist()
    return row["status"], row["reason"], np.array(row["mel"] or [], np.float64)


def with_tones(path: Path, defaults: list[bool], **options: str) -> Path:
    """A clip with an audio track for each of `defaults`; track k is a tone of 300, 600, ... Hz, the first is silent."""
    video = ffmpeg.input("color=black:s=64x48:r=25:d=2", f="lavfi")
    levels = [0.0, *[0.4] * (len(defaults) - 1)]
    tones = [
        ffmpeg.input(f"aevalsrc='{volume}*sin(2*PI*{300 * k}*t)':s=44100:d=2", f="lavfi")
        for k, volume in enumerate(levels, 1)
    ]
    flags = {f"disposition:a:{k}": "default" if on else "0" for k, on in enumerate(defaults)}
    run(ffmpeg.output(video, *tones, str(path), **{**H264, **flags, **options}))
    return path


@pytest.mark.parametrize(
    ("name", "defaults", "expected"),
    [
        ("a.mkv", [False, True], 2),
        ("b.mkv", [False, False, True], 3),
        ("c.mp4", [False, True, False], 2),
        ("d.mov", [False, False, True], 3),
        ("e.ts", [False, False], 1),  # a transport stream names no default
    ],
)
def test_the_default_track_is_read_everywhere(tmp_path: Path, name: str, defaults: list[bool], expected: int) -> None:
    path = with_tones(tmp_path / name, defaults)
    assert choose_audio_stream(path) == expected
    track = decode_audio(path, RATE)
    if expected == 1:
        assert mel_of(path)[0] == "silent"
    else:
        assert pitch_hz(track.samples[4000:20000]) == pytest.approx(300 * expected, abs=2)
    assert probe(path).has_audio


def test_a_codec_without_a_decoder_is_passed_over(tmp_path: Path) -> None:
    path = with_tones(tmp_path / "a.mkv", [True, False])
    data = path.read_bytes()
    first = data.index(b"A_AAC")
    path.write_bytes(data[:first] + b"A_XYZ" + data[first + 5 :])
    assert choose_audio_stream(path) == 2
    assert pitch_hz(decode_audio(path, RATE).samples[4000:20000]) == pytest.approx(600, abs=2)
    path.write_bytes(data.replace(b"A_AAC", b"A_XYZ"))
    assert probe(path).has_audio
    assert choose_audio_stream(path) is None
    assert mel_of(path)[:2] == ("unreadable", "the codec of its audio track is unknown")


def test_a_default_track_that_does_not_decode_is_passed_over(tmp_path: Path) -> None:
    whole = with_tones(tmp_path / "whole.mkv", [True, False], acodec="ac3", bf="0")

    def spoil(packet: av.Packet) -> bool:
        if packet.stream.index == 1:
            packet.update(bytes(packet.size))
        return True

    path = remux(whole, tmp_path / "a.mkv", spoil)
    assert choose_audio_stream(path) == 2
    assert pitch_hz(decode_audio(path, RATE).samples[4000:20000]) == pytest.approx(600, abs=2)


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.ts", "a.mov"])
def test_a_track_without_packets_is_no_audio(tmp_path: Path, name: str) -> None:
    whole = write(tmp_path / f"whole_{name}", bf=0, **H264)
    path = remux(whole, tmp_path / name, lambda packet: packet.stream.type == "video")
    info = probe(path)
    assert (info.has_audio, info.audio_start_s) == (False, None)
    status, reason, mel = mel_of(path)
    assert (status, len(mel)) == ("no_audio", 0)
    assert reason in ("its audio track holds no packet", "no audio track")
    assert sample_frames(path, 3).decoded.status == "ok"


@pytest.mark.parametrize("gain", [1.0, 0.8])
@pytest.mark.parametrize(("codec", "name"), [("pcm_s16le", "a.wav"), ("libmp3lame", "a.mkv"), ("aac", "a.mp4")])
def test_opposite_channels_do_not_cancel(tmp_path: Path, codec: str, name: str, gain: float) -> None:
    left = tone(44100, 2.0)
    opposite = decode_audio(write_sound(tmp_path / name, np.stack([left, -gain * left]), 44100, codec=codec), RATE)
    alike = decode_audio(write_sound(tmp_path / f"b{name}", np.stack([left, gain * left]), 44100, codec=codec), RATE)
    assert level(opposite.samples[4000:28000]) == pytest.approx(level(alike.samples[4000:28000]), rel=0.03)


def test_channels_may_turn_opposite_on_the_way(tmp_path: Path) -> None:
    left = tone(RATE, 6.0)
    right = np.where(np.arange(len(left)) < 3 * RATE, left, -left)
    track = decode_audio(write_sound(tmp_path / "a.wav", np.stack([left, right]), RATE), RATE)
    seconds = track.samples.reshape(6, -1)
    assert [level(second) for second in seconds] == pytest.approx([level(left)] * 6, rel=0.25)


def test_what_is_alike_or_alone_keeps_its_mean(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, (2, 2 * RATE)).astype(np.float32)
    for channels in (noise, noise * [[1], [0]], noise * [[1], [-0.3]]):
        track = decode_audio(write_sound(tmp_path / "a.wav", channels, RATE, codec="pcm_f32le"), RATE)
        assert np.abs(track.samples - channels.mean(axis=0)).max() < 1e-6


@pytest.mark.parametrize(
    ("layout", "channel", "share", "name"),
    [
        ("5.1", "FC", 1.0, "a.wav"),
        ("5.1", "FC", 1.0, "a.mkv"),  # which says that there are six channels, and not which
        ("5.1", "FL", 0.5**0.5, "a.wav"),
        ("5.1(side)", "SR", 0.5, "a.wav"),
        ("5.1", "LFE", 0.0, "a.wav"),
        ("7.1", "BL", 0.5, "a.mkv"),
        ("quad", "FR", 0.5**0.5, "a.wav"),
    ],
)
def test_surround_becomes_mono_by_the_standard(
    tmp_path: Path, layout: str, channel: str, share: float, name: str
) -> None:
    names = [part.name for part in av.AudioLayout(layout).channels]
    path = tmp_path / name
    panned = "|".join(f"{each}={'c0' if each == channel else '0*c0'}" for each in names)
    source = ffmpeg.input("aevalsrc='0.4*sin(2*PI*440*t)':s=16000:d=2", f="lavfi")
    run(source.output(str(path), af=f"pan={layout}|{panned}", acodec="pcm_s16le"))
    track = decode_audio(path, RATE)
    coefficient = {"FC": 1.0, "LFE": 0.0}
    total = sum(coefficient.get(each, 0.5**0.5 if each in ("FL", "FR") else 0.5) for each in names)
    assert level(track.samples) == pytest.approx(0.4 / 2**0.5 * share / total, abs=1e-3)
    assert downmix_weights(names).sum() == pytest.approx(1.0)


def test_channels_without_a_direction_count_alike() -> None:
    assert downmix_weights(["NONE"] * 16).tolist() == [1 / 16] * 16
    assert downmix_weights(["FL", "AMBI0"]).tolist() == [0.5, 0.5]
    assert downmix_weights(["LFE"]).tolist() == [1.0]
    assert downmix_weights(["FL", "FR"]).tolist() == [0.5, 0.5]


@pytest.mark.parametrize(("codec", "count"), [("pcm_s16le", 10), ("libopus", 12), ("aac", 8)])
def test_many_channels(tmp_path: Path, codec: str, count: int) -> None:
    path = tmp_path / "a.mkv"
    source = ffmpeg.input("aevalsrc='0.4*sin(2*PI*440*t)':s=48000:d=2", f="lavfi")
    layout = f"{count}c" if count > 8 else "7.1"
    panned = "|".join(f"c{index}=c0" for index in range(count))
    family = {"mapping_family": 255} if codec == "libopus" else {}
    run(source.output(str(path), af=f"pan={layout}|{panned}", acodec=codec, **family))
    for _ in range(3):
        samples = decode_audio(path, RATE).samples[4000:28000]
        assert level(samples) == pytest.approx(0.4 / 2**0.5, rel=0.02)


@pytest.mark.parametrize(("first", "second"), [("mono", "5.1"), ("stereo", "mono"), ("5.1", "stereo")])
def test_channels_may_change_on_the_way(tmp_path: Path, first: str, second: str) -> None:
    parts = []
    for number, layout in enumerate((first, second)):
        part = tmp_path / f"{number}.ts"
        video = ffmpeg.input("color=black:s=64x48:r=25:d=2", f="lavfi")
        audio = ffmpeg.input("aevalsrc='0.4*sin(2*PI*440*t)':s=44100:d=2", f="lavfi")
        audio = audio.filter("aformat", channel_layouts=layout)
        run(ffmpeg.output(video, audio, str(part), **H264, output_ts_offset=2 * number))
        parts.append(part.read_bytes())
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(parts))
    track = decode_audio(path, RATE)
    assert track.duration_s == pytest.approx(4.0, abs=0.06)
    pieces = track.samples[:62400].reshape(39, -1)
    assert min(level(piece) for piece in pieces[1:18]) > 0.05
    assert min(level(piece) for piece in pieces[22:]) > 0.05
    assert track.broken_packets <= 1


def refusals(path: Path) -> list[str]:
    """What the probe, the frames and the audio say of a file that none of them can read."""
    said = []
    for look in (probe, lambda path: sample_frames(path, 5), lambda path: decode_audio(path, RATE)):
        with pytest.raises(MediaError) as caught:
            look(path)
        assert caught.value.status == "unreadable"
        said.append(caught.value.reason)
    return said


CENC = {
    "encryption_scheme": "cenc-aes-ctr",
    "encryption_key": "00112233445566778899aabbccddeeff",
    "encryption_kid": "ffeeddccbbaa99887766554433221100",
}


@pytest.mark.parametrize(
    ("name", "movflags"), [("a.mp4", "faststart"), ("b.mp4", "frag_keyframe+empty_moov+default_base_moof")]
)
def test_common_encryption_is_told(tmp_path: Path, name: str, movflags: str) -> None:
    path = write(tmp_path / name, movflags=movflags, **H264, **CENC)
    assert refusals(path) == ["its video track is encrypted: decrypt the file first"] * 3
    assert mel_of(path)[:2] == ("unreadable", "its video track is encrypted: decrypt the file first")


def test_encrypted_audio_alone(tmp_path: Path) -> None:
    audio = ffmpeg.input("aevalsrc='0.4*sin(2*PI*440*t)':s=44100:d=2", f="lavfi")
    path = tmp_path / "a.mp4"
    run(audio.output(str(path), acodec="aac", **CENC))
    assert mel_of(path)[:2] == ("unreadable", "its audio track is encrypted: decrypt the file first")
    assert choose_audio_stream(path) is None


def test_encrypted_matroska(tmp_path: Path) -> None:
    """The tracks say so; see the element ContentEncodings in Matroska's specification."""

    def element(name: str, *parts: bytes) -> bytes:
        body = b"".join(parts)
        return bytes.fromhex(name) + struct.pack(">Q", len(body) | 1 << 56) + body

    settings = element("47e7", element("47e8", b"\1"))
    encryption = element("5035", element("47e1", b"\5"), element("47e2", b"0123456789abcdef"), settings)
    encoding = element("6240", element("5031", b"\0"), element("5032", b"\1"), element("5033", b"\1"), encryption)
    data = write(tmp_path / "whole.mkv", bf=0, **H264).read_bytes()
    start = data.rindex(bytes.fromhex("1654ae6b"), 0, data.index(b"V_MPEG4"))  # Tracks, in two bytes of length

    def size(at: int) -> tuple[int, int]:
        length = 9 - data[at].bit_length()
        return length, int.from_bytes(data[at : at + length], "big") & (1 << 7 * length) - 1

    length, total = size(start + 4)
    at, end, entries = start + 4 + length, start + 4 + length + total, b""
    while at < end:
        name_length = 9 - data[at].bit_length()
        length, total = size(at + name_length)
        body = data[at + name_length + length :][:total]
        is_track = data[at : at + name_length] == b"\xae"
        entries += element(data[at : at + name_length].hex(), body, element("6d80", encoding) if is_track else b"")
        at += name_length + length + total
    segment = data.index(bytes.fromhex("18538067")) + 4
    path = tmp_path / "a.mkv"
    unknown = data[:segment] + b"\x01" + b"\xff" * 7 + data[segment + 8 : start]
    path.write_bytes(unknown + element("1654ae6b", entries) + data[end:])
    assert set(refusals(path)) == {"its video track is encrypted: decrypt the file first"}


def test_a_scrambled_transport_stream(tmp_path: Path) -> None:
    data = bytearray(write(tmp_path / "whole.ts", **H264).read_bytes())
    noise = random.Random(0)
    for at in range(0, len(data), 188):
        if int.from_bytes(data[at + 1 : at + 3], "big") & 0x1FFF in (0x100, 0x101):
            data[at + 3] |= 0x80
            head = 4 + (1 + data[at + 4] if data[at + 3] & 0x20 else 0)
            data[at + head : at + 188] = noise.randbytes(188 - head)
    path = tmp_path / "a.ts"
    path.write_bytes(bytes(data))
    assert set(refusals(path)) == {"it is encrypted (a scrambled transport stream): decrypt it first"}


@needs_cases
@pytest.mark.parametrize(
    ("name", "status", "lowest", "highest"),
    [
        ("first_silent_second_default.mkv", "ok", -6.5, -5.9),
        ("antiphase.mp4", "ok", -7.5, -6.0),
        ("left_only.mp4", "ok", -7.5, -7.3),
        ("opus_16_channels.mkv", "ok", -6.7, -5.9),
        ("mono_then_5.1.ts", "ok", -7.6, -6.5),
    ],
)
def test_odd_tracks(name: str, status: str, lowest: float, highest: float) -> None:
    found, _, mel = mel_of(CASES / name)
    assert found == status
    assert lowest <= mel.mean() <= highest


@needs_cases
def test_odd_tracks_without_audio() -> None:
    for name in ("audio_track_without_packets.mkv", "audio_track_without_packets.mp4"):
        assert mel_of(CASES / name)[:2] == ("no_audio", "its audio track holds no packet")
        assert sample_frames(CASES / name, 5).decoded.status == "ok"
    assert set(refusals(CASES / "encrypted_cenc.mp4")) == {"its video track is encrypted: decrypt the file first"}
