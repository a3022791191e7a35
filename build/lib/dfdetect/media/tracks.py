"""Which tracks of a container are read, and the one clock that frames and audio are timed by.

The clock's zero is the first frame that decodes, its unit the second. Everything is placed by the timestamps of its
packets, and where these begin again (recordings joined end to end) the clock goes on.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import av.error
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.frame import Frame
from av.packet import Packet
from av.stream import Discard, Disposition, Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from dfdetect.errors import MediaError
from dfdetect.media.containers import FinalMediaError, open_container, opened, words

# Decoding timestamps never fall in one recording. Broken ones fall by some packets, a new recording by its length.
FALL_S = 0.2
ENCRYPTED = "its video track is encrypted: decrypt the file first"
_ENCRYPTED_TAGS = frozenset({"encv", "enca", "drmi", "drms"})
ENCRYPTED_AUDIO = ENCRYPTED.replace("video", "audio")


def video_stream(container: InputContainer) -> VideoStream:
    """The main video track that has a decoder; a cover image is none.

    Raises:
        MediaError: there is none, or it is one image in tiles, which PyAV does not put together.
    """
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        raise FinalMediaError("it has no video track")
    if "mov" in container.format.name and any(s.disposition & Disposition.dependent for s in streams):
        raise MediaError("it is an image in tiles, of which PyAV decodes each alone")
    known = [s for s in streams if s.codec_context is not None]
    if not known:
        raise MediaError("its video codec is unknown")
    best = container.streams.best("video")
    return best if isinstance(best, VideoStream) and best in known else known[0]


def audio_streams(container: InputContainer) -> list[AudioStream]:
    """The audio tracks that have a decoder, the default one first, else in the container's order."""
    known = [s for s in container.streams.audio if s.codec_context is not None]
    return sorted(known, key=lambda s: not s.disposition & Disposition.default)


def choose_audio_stream(path: Path) -> int | None:
    """The index (among all streams) of the audio track that every stage reads: the default one, if it decodes.

    Raises:
        MediaError: the file cannot be opened.
    """
    with opened(path) as container:
        return find_start(container).audio


def is_encrypted(track: Stream | Packet[Any]) -> bool:
    """Does the container say so of a track (Matroska, ASF, and MP4 by the codec's name) or of a packet (MP4)?"""
    if isinstance(track, Packet):
        return track.has_sidedata("encryption_info")  # Common Encryption
    listed = track.metadata.keys() | track.container.metadata.keys()
    return getattr(track, "codec_tag", None) in _ENCRYPTED_TAGS or bool(listed & {"enc_key_id", "ASF_Protection_Type"})


class Clock:
    """Container time that goes on where it begins again.

    One track leads, the video track where there is one: where its decoding timestamps fall, a recording begins, and
    goes on from the end of the one before. The other tracks get the same offsets, so that audio stays with its frames.
    """

    def __init__(self, leader: Stream | None) -> None:
        self.offsets_s = [0.0]  # of each recording in the file
        # MP4 has a list of times for each track, in which none falls.
        self.restarts = leader is not None and "mov" not in leader.container.format.name
        self._leader, self._end_s = leader, -math.inf
        self._tracks: dict[int, tuple[int, float, float]] = {}  # of each: recording, last timestamp (s), its unit (s)

    def mark(self, packet: Packet[Any]) -> None:
        """Note in a packet to which recording its frames belong; call with each, in the order of the file."""
        if self._leader is None or not self.restarts:
            return
        index, dts, pts = packet.stream_index, packet.dts, packet.pts
        newest = len(self.offsets_s) - 1
        recording, last_s, unit_s = self._tracks.get(index) or (newest, -math.inf, float(packet.time_base or 0))
        begins = dts is not None and dts * unit_s < last_s - FALL_S
        if index == self._leader.index and (first := dts if pts is None else pts) is not None:
            if begins:
                self.offsets_s.append(self._end_s - first * unit_s)
                recording += 1
            self._end_s = max(self._end_s, (first + (packet.duration or 0)) * unit_s + self.offsets_s[-1])
        elif begins:  # recordings without this track may have been passed over
            recording = max(recording + 1, newest)
        self._tracks[index] = recording, last_s if dts is None else dts * unit_s, unit_s
        if recording:
            packet.opaque = (recording,)  # PyAV needs an object of its own for each

    def joined_s(self, frame: Frame, time_s: float) -> float:
        """A frame's time in the container with its recording's offset; its decoder's `copy_opaque` must be set."""
        return time_s + self.offsets_s[recording_of(frame)] if len(self.offsets_s) > 1 else time_s


def recording_of(frame: Frame) -> int:
    """The number that `Clock.mark` noted in the packet of a frame."""
    noted: Any = frame.opaque
    return noted[0] if noted else 0


class Tracks:
    """The video and audio tracks of a file that has just been opened, read together; what is known once they are.

    Attributes:
        clock: of their packets.
        frame: the first video frame that decodes.
        has_audio: an audio track holds packets, whether they decode or not.
        trouble: why no audio decodes.
        broken_packets: of each audio track by its index, those that do not decode.
        errors: why the container cannot be read to its end.
    """

    def __init__(self, container: InputContainer) -> None:
        self._container = container
        try:
            self._video: VideoStream | None = video_stream(container)
        except MediaError:
            self._video = None
        decodable = audio_streams(container)
        self._candidates = [s.index for s in decodable]  # numbers: streams must not be asked once the file is closed
        self._streams: list[Stream] = [s for s in (self._video, *container.streams.audio) if s is not None]
        self.clock = Clock(self._streams[0] if self._streams else None)
        self.frame: VideoFrame | None = None
        self.has_audio = self._trimmed = False
        self.trouble = "the codec of its audio track is unknown" if container.streams.audio else "no audio track"
        self.broken_packets: Counter[int] = Counter()
        self.errors: list[str] = []
        self._held: list[Packet[Any]] | None = []  # of the video track, before the first is decoded
        self._video_s: float | None = None  # when the first frame is shown, or else packet, in the container
        self._audio_s: dict[int, float] = {}  # when each track that decodes begins, in the container
        for known in (self._video, *decodable):
            if known is not None:
                known.codec_context.thread_count, known.codec_context.copy_opaque = 1, True

    @property
    def audio(self) -> int | None:
        """Index of the audio track that is read; None where none decodes."""
        return next((index for index in self._candidates if index in self._audio_s), None)

    @cached_property
    def zero_s(self) -> float | None:
        """The clock's zero in the container's time; None without a video packet."""
        if self._video_s is None or not self._trimmed:
            return self._video_s
        return _trimmed_zero_s(self._container, self._video_s)

    @property
    def audio_s(self) -> float | None:
        """When the audio begins, on the clock (0 where there is no zero); None without audio that decodes."""
        if self.audio is None:
            return None
        return 0.0 if self.zero_s is None else round(self._audio_s[self.audio] - self.zero_s, 6)

    def read(self, *, start_only: bool = False) -> Iterator[tuple[int, AudioFrame]]:
        """Decode the default audio track, with the others until it gives a frame, and the video's first frame.

        Args:
            start_only: stop where the first frames of both are met.
        Yields:
            A track's index and a frame of it.
        Raises:
            FinalMediaError: the video is encrypted.
        """
        encrypted = {s.index for s in self._streams if is_encrypted(s)}
        for packet in read_packets(self._container, self._streams, self.errors) if self._streams else ():
            stream = packet.stream
            self.clock.mark(packet)
            # PyAV takes its time to look for side data. What is encrypted begins at a key frame, or does not decode.
            due = packet.is_keyframe if stream is self._video else stream.index not in self._audio_s
            hidden = stream.index in encrypted or (due and is_encrypted(packet))
            if self._video is not None and stream is self._video:
                if hidden:
                    raise FinalMediaError(ENCRYPTED)
                if self.frame is None:
                    self._watch(self._video, packet)
            else:
                self.has_audio |= packet.size > 0
                if hidden:
                    self.trouble, self._candidates = ENCRYPTED_AUDIO, [i for i in self._candidates if i != stream.index]
                elif stream.index in self._candidates:
                    yield from self._listen(stream, packet)
            if start_only and self._settled():
                break
        if self._container.streams.audio and not self.has_audio:
            self.trouble = "its audio track holds no packet"

    def _settled(self) -> bool:
        if self._video is not None and self.frame is None:
            return False
        if self._candidates:
            return self._candidates[0] in self._audio_s
        return self.has_audio or not self._container.streams.audio

    def _watch(self, stream: VideoStream, packet: Packet[Any]) -> None:
        """Decode up to the first frame; one packet where that is a key frame and no other comes before it."""
        if self._video_s is None and packet.pts is not None:
            self._video_s = float(packet.pts * (packet.time_base or 0))
        self._trimmed |= packet.is_discard and not self.clock.restarts
        frames: list[VideoFrame] = []
        if self._held is None:
            frames = _decoded(stream, packet)
        else:
            self._held.append(packet)
            key = self._held[0]
            if key.is_keyframe and not key.is_discard and key.pts is not None and packet.size and len(self._held) < 64:
                if packet.dts is None or packet.dts < key.pts:
                    return  # a frame that is shown earlier may follow
                if all(held.pts is None or held.pts >= key.pts for held in self._held):
                    frames = [*_decoded(stream, key), *_decoded(stream, None)]
                    if not frames and stream.codec_context.is_open:  # else PyAV crashes
                        stream.codec_context.flush_buffers()
            for held in self._held:
                frames = frames or _decoded(stream, held)
            self._held = None
        if frames:
            self.frame = frames[0]
            if frames[0].pts is not None:
                time_s = float(frames[0].pts * (packet.time_base or 0))
                self._video_s = self.clock.joined_s(frames[0], time_s)
            if not self.clock.restarts:
                stream.discard = Discard.all

    def _listen(self, stream: AudioStream, packet: Packet[Any]) -> Iterator[tuple[int, AudioFrame]]:
        try:
            frames = stream.decode(packet)
        except av.error.FFmpegError as error:
            if is_encrypted(packet):
                raise MediaError(ENCRYPTED_AUDIO) from None
            self.broken_packets[stream.index] += 1
            self.trouble = f"no sample of {stream.codec_context.name} decodes: {words(error)}"
            return
        if frames and stream.index not in self._audio_s:
            self._audio_s[stream.index] = self.clock.joined_s(frames[0], frames[0].time or 0.0)
            if stream.index == self._candidates[0]:
                self._candidates = [stream.index]
        for frame in frames:
            yield stream.index, frame


def find_start(container: InputContainer) -> Tracks:
    """The tracks of a file that has just been opened, read up to their first frames.

    Raises:
        FinalMediaError: the video is encrypted.
    """
    tracks = Tracks(container)
    for _ in tracks.read(start_only=True):
        pass
    _ = tracks.zero_s  # while the container is open
    return tracks


def _decoded(stream: VideoStream, packet: Packet[Any] | None) -> list[VideoFrame]:
    try:
        return stream.decode(packet)
    except av.error.FFmpegError:
        return []


def _trimmed_zero_s(container: InputContainer, shown_s: float) -> float:
    """The time of the first frame that an edit list leaves in an MP4.

    FFmpeg moves it to where the edit begins, by less than a frame, and not the audio with it. Without its handling of
    edit lists the timestamps are those of the file.
    """
    later_s = math.inf
    with open_container(container.name.removeprefix("file:"), advanced_editlist="0") as untouched:
        for packet in read_packets(untouched, [video_stream(untouched)], []):
            if packet.pts is None or packet.dts is None or packet.time_base is None:
                continue
            if packet.dts * packet.time_base > later_s:
                break
            time_s = float(packet.pts * packet.time_base)
            later_s = min(later_s, time_s) if time_s > shown_s - 1e-6 else later_s
    return later_s if math.isfinite(later_s) else shown_s


def read_packets(container: InputContainer, streams: Sequence[Stream], errors: list[str]) -> Iterator[Packet[Any]]:
    """The packets of some tracks in the order of the file.

    Args:
        errors: takes the reason where the container cannot be read on; what came before counts.
    """
    for stream in container.streams:
        stream.discard = stream.discard if stream in streams else Discard.all
    try:
        yield from container.demux(streams)
    except (av.error.FFmpegError, OSError) as error:
        errors.append(words(error))
