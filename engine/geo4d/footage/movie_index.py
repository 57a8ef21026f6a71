"""Which frames a movie holds and when each is shown, from its packets rather than from its header."""

from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from ..errors import FootageError


@dataclass
class MovieIndex:
    """N frames in the order of display."""

    pts: np.ndarray  # (N,) int64 presentation stamps in units of the stream's time base, strictly rising
    key: np.ndarray  # (N,) bool: decoding can start here
    stamped: bool  # False: the file has no usable stamps and pts merely counts decoded frames
    incomplete: bool  # the file says that it should hold more than it does


def open_container(path: Path) -> tuple[av.container.InputContainer, av.VideoStream]:
    """Open a movie and pick its picture stream. Raises FootageError in one sentence."""
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            head = file.read(12)
    except FileNotFoundError as error:
        raise FootageError(
            "footage_missing", f"There is no file {path}.", "Check the path, or relink the footage."
        ) from error
    except OSError as error:
        raise FootageError(
            "footage_unreadable", f"{path} cannot be read ({error}).", "Check its permissions."
        ) from error
    if size == 0:
        raise FootageError("footage_empty", f"{path} is empty (0 bytes).", "Copy or export the footage again.")
    try:
        # A playlist inside a local file must not make us fetch anything from elsewhere.
        container = av.open(str(path.absolute()), options={"protocol_whitelist": "file"})
    except (av.error.FFmpegError, ValueError) as error:
        if head[4:8] in _MP4_BOXES:
            raise _without_index(path) from error
        raise FootageError(
            "footage_not_video",
            f"{path} is not a video that can be read.",
            "Choose a movie (mp4, mov, mkv, avi, webm ...) or an image sequence.",
        ) from error
    if container.format.name in ("tty", "lrc", "srt", "ass", "webvtt"):  # FFmpeg would draw plain text as a video
        container.close()
        raise FootageError("footage_not_video", f"{path} is text, not a video.", "Choose a movie or an image sequence.")
    if not container.streams.video and not container.streams.audio and head[4:8] in _MP4_BOXES:
        container.close()
        raise _without_index(path)
    cover = av.stream.Disposition.attached_pic
    streams = [s for s in container.streams.video if not s.disposition & cover]
    if not streams:
        sound = len(container.streams.audio) > 0
        container.close()
        raise FootageError(
            "footage_no_video",
            f"{path} has sound but no pictures." if sound else f"{path} has no picture stream.",
            "Choose a movie or an image sequence.",
        )
    known = [s for s in streams if s.codec_context is not None]
    if not known:
        container.close()
        raise FootageError(
            "footage_undecodable",
            f"{path} is compressed in a way that cannot be decoded here.",
            "Convert it to H.264, H.265 or ProRes, or to an image sequence.",
        )
    stream = max(known, key=lambda s: s.codec_context.width * s.codec_context.height)
    stream.thread_type = "AUTO"
    # Each decoding thread holds frames: more than a few buy little speed and cost memory at 4K.
    stream.codec_context.thread_count = 4
    return container, stream


_MP4_BOXES = (b"ftyp", b"mdat", b"wide", b"free", b"moov")  # one of them begins every MP4 and QuickTime file


def _without_index(path: Path) -> FootageError:
    return FootageError(
        "footage_truncated",
        f"{path} is cut off: its index is missing or incomplete, so no frame can be found.",
        "Copy it again in full, or repair it with the camera that wrote it.",
    )


def build_index(path: Path) -> MovieIndex:
    """List the frames of a movie by reading its packets; decodes only where the packets cannot be trusted.

    Packets are trusted when each has a stamp of its own and the first can be decoded alone. Otherwise, and for
    a file that ends early, every frame is decoded once to see what really comes out.
    """
    container, stream = open_container(path)
    pts, key = [], []
    count, corrupt, end_s = 0, False, 0.0
    with container:
        promised = stream.frames
        hides_frames = stream.codec_context.name in _HIDES_FRAMES
        # AVI stores no presentation stamps: with reordered frames those that FFmpeg makes up are wrong.
        reordered = container.format.name == "avi" and bool(stream.codec_context.has_b_frames)
        stated_s = (
            container.duration / av.time_base if "matroska" in container.format.name and container.duration else 0
        )
        try:
            for packet in container.demux():
                if packet.pts is not None:
                    end_s = max(end_s, float((packet.pts + (packet.duration or 0)) * packet.time_base))
                if packet.stream.index != stream.index or packet.size == 0:
                    continue
                count += 1
                corrupt |= packet.is_corrupt
                if not packet.is_discard:  # an edit list cuts this frame away
                    pts.append(packet.pts)
                    key.append(packet.is_keyframe)
        except av.error.FFmpegError:
            corrupt = True
    incomplete = corrupt or count < promised or end_s < 0.98 * stated_s - 1.0
    trusted = pts and None not in pts and len(set(pts)) == len(pts) and key[0] and not hides_frames and not reordered
    if not trusted or incomplete:
        return _index_by_decoding(path, incomplete)
    stamps, keys = np.array(pts, dtype=np.int64), np.array(key)
    order = np.argsort(stamps)
    return MovieIndex(stamps[order], keys[order], True, False)


_HIDES_FRAMES = ("vp8",)  # packets may hold reference frames that are never shown


def _index_by_decoding(path: Path, incomplete: bool) -> MovieIndex:
    pts, key = [], []
    for frame in decode_all(path):
        pts.append(frame.pts)
        key.append(frame.key_frame)
    stamped = None not in pts and bool(np.all(np.diff(np.array(pts, dtype=np.int64)) > 0))
    stamps = np.array(pts if stamped else range(len(pts)), dtype=np.int64)
    return MovieIndex(stamps, np.array(key, dtype=bool), stamped, incomplete)


def decode_all(path: Path):
    """Every frame that comes out of the decoder, in order of display; damaged packets are stepped over."""
    container, stream = open_container(path)
    with container:
        yield from decode_packets(container, stream)


def decode_packets(container, stream):
    """Frames from the container's present position on; damaged packets are stepped over."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except av.error.EOFError:
            packet = None
        except av.error.FFmpegError:
            packet = None  # the file breaks off here: give out what the decoder still holds
        if packet is not None and (packet.is_corrupt or packet.stream.index != stream.index):
            continue
        try:
            frames = stream.codec_context.decode(packet)
        except av.error.EOFError:
            return
        except av.error.FFmpegError:
            frames = []
        yield from (frame for frame in frames if not frame.is_corrupt)
        if packet is None:
            return
