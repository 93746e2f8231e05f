# SPDX-License-Identifier: GPL-3.0-or-later
"""The plate's own sound into the delivery: packets copied untouched where the container takes the codec, encoded otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.container
from av.audio.stream import AudioStream
from av.packet import Packet

from ...mesh.errors import MienError
from .movie import open_movie, origin_seconds

COPIED = {"mp4": {"aac"}, "mov": {"aac", "mp3", "ac3", "alac", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_s32be",
                                  "pcm_f32le", "pcm_f32be"},
          "avi": {"mp3", "ac3", "pcm_s16le", "pcm_s24le"}, "matroska": {"aac", "mp3", "ac3", "flac", "opus", "vorbis", "pcm_s16le", "pcm_s24le"}}
"""Codecs that go unchanged into each muxer; anything else becomes AAC in mp4 and 16-bit PCM elsewhere (24-bit for deeper sources)."""
AAC_RATE = 256_000
END = float("inf")


class AudioFeed:
    """Moves every sound track of a movie into an output container, little by little, so that picture and sound stay interleaved."""

    def __init__(self, path: Path, output: av.container.OutputContainer, muxer: str) -> None:
        """Adds the streams to `output`, which must not have started. Raises MienError when `path` is no readable movie."""
        self.path, self.output = path, output
        self.input = open_movie(path)
        self._shift = origin_seconds(self.input)
        self._tracks: dict[int, AudioStream] = {}
        self._copied: set[int] = set()
        for track in self.input.streams.audio:
            if track.codec_context is None:
                raise MienError(f"{path} has sound that cannot be decoded; convert it to AAC or PCM first.")
            if track.codec_context.name in COPIED[muxer]:
                self._tracks[track.index] = output.add_stream_from_template(track)
                self._copied.add(track.index)
            else:
                self._tracks[track.index] = self._encoder(track, muxer)
        self._packets = self._demuxed() if self._tracks else iter(())
        self._next: Packet | None = next(self._packets, None)
        self._limit = END

    def _encoder(self, track: AudioStream, muxer: str) -> AudioStream:
        context = track.codec_context
        if muxer == "mp4":
            made = self.output.add_stream("aac", rate=context.rate, layout=context.layout.name)
            made.codec_context.bit_rate = AAC_RATE
        else:
            deep = context.name.startswith("pcm") and any(bits in context.name for bits in ("24", "32", "64"))
            made = self.output.add_stream("pcm_s24le" if deep else "pcm_s16le", rate=context.rate, layout=context.layout.name)
        return made

    def _demuxed(self) -> Iterator[Packet]:
        """Packets of all tracks; a damaged end of the sound ends it."""
        try:
            for packet in self.input.demux(*(self.input.streams[i] for i in self._tracks)):
                if packet.size:
                    yield packet
        except av.error.InvalidDataError:
            return

    def feed(self, until: float) -> None:
        """Write the sound up to `until` seconds."""
        while self._next is not None:
            packet = self._next
            stamp = packet.pts if packet.pts is not None else packet.dts
            if stamp is not None and float(stamp * packet.time_base) - self._shift >= until:
                return
            self._write(packet)
            self._next = next(self._packets, None)

    def _write(self, packet: Packet) -> None:
        index = packet.stream.index
        target = self._tracks[index]
        shift = round(Fraction(self._shift) / packet.time_base) if self._shift else 0
        if index in self._copied:
            packet.stream = target
            if shift:
                packet.pts = None if packet.pts is None else packet.pts - shift
                packet.dts = None if packet.dts is None else packet.dts - shift
            self.output.mux(packet)
            return
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            return  # one damaged packet of sound is a click, not the end of the delivery
        for frame in frames:
            if frame.pts is not None:
                frame.pts -= shift
            self.output.mux(target.encode(frame))

    def finish(self, until: float = END) -> None:
        """Write what is left before `until` and empty the encoders."""
        self.feed(until)
        for index, target in self._tracks.items():
            if index not in self._copied:
                self.output.mux(target.encode(None))

    def close(self) -> None:
        self.input.close()
