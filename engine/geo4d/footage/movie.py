"""A movie file as a Shot."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import numpy as np
from av.sidedata.sidedata import Type as SideDataType
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from ..errors import FootageError
from . import frame_range
from .movie_index import MovieIndex, build_index, decode_packets, open_container
from .resample import fit
from .sequence import DEFAULT_FPS, hash_file

_SEEK_BEYOND = 12  # frames: below this, decoding on is cheaper than seeking
_CACHE_BYTES = 64 << 20

# AVColorSpace and AVColorTransferCharacteristic values of the standards (ITU-T H.273).
_MATRICES = {1: Colorspace.ITU709, 4: Colorspace.FCC, 5: Colorspace.ITU601, 6: Colorspace.ITU601}
_MATRICES |= {7: Colorspace.SMPTE240M, 9: Colorspace.BT2020, 10: Colorspace.BT2020}
_HIGH_DYNAMIC_RANGE = {16: "PQ", 18: "HLG"}


class Movie:
    """A :class:`~geo4d.footage.shot.Shot` over a movie file.

    Sizes and frames are after the rotation that the file asks for. ``variable_frame_rate`` is True where the
    frames are not evenly spaced in time; ``times`` has the truth.
    """

    def __init__(self, path: Path, first: int = 0, last: int | None = None, step: int = 1, fps: float | None = None):
        self.path = str(path)
        self._file = path
        self.warnings: list[tuple[str, str, str]] = []
        self.gaps: list[int] = []
        self._index = build_index(path)
        self.frame_count = len(self._index.pts)
        self._check_complete()
        chosen = frame_range.choose(np.arange(self.frame_count), first, last, step, str(path))
        self.indices = chosen.astype(np.int64)
        self._range = (first, last, step)
        self._read_properties(fps)
        self._cursor: _Cursor | None = None
        self._cache: dict[tuple[int, bool], np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.indices)

    def read(self, size: tuple[int, int] | None = None, gray: bool = False, start: int = 0) -> Iterator[np.ndarray]:
        """See :meth:`geo4d.footage.shot.Shot.read`."""
        with _Cursor(self._file, self._index) as cursor:
            for index in self.indices[start:]:
                yield fit(self._convert(cursor.frame(int(index)), gray), size, gray)

    def read_at(
        self, positions: Sequence[int], size: tuple[int, int] | None = None, gray: bool = False
    ) -> list[np.ndarray]:
        """See :meth:`geo4d.footage.shot.Shot.read_at`. Frames lately read are kept, up to 64 MiB."""
        wanted = [int(self.indices[position]) for position in positions]
        frames = {}
        for index in sorted(set(wanted)):
            if (index, gray) not in self._cache:
                if self._cursor is None:
                    self._cursor = _Cursor(self._file, self._index)
                self._remember((index, gray), self._convert(self._cursor.frame(index), gray))
            frames[index] = fit(self._cache[index, gray], size, gray)
        return [frames[index] for index in wanted]

    def content_hash(self) -> str:
        """See :meth:`geo4d.footage.shot.Shot.content_hash`. Where the file lies and its name do not count."""
        digest = hashlib.blake2b(digest_size=20)
        digest.update(f"movie {self._range} {self.fps!r} {self._file.stat().st_size} ".encode())
        hash_file(digest, self._file)
        return digest.hexdigest()

    def close(self) -> None:
        """Let go of the file that :meth:`read_at` keeps open and of the frames it remembers."""
        if self._cursor is not None:
            self._cursor.close()
        self._cursor = None
        self._cache = {}

    def _remember(self, key: tuple[int, bool], image: np.ndarray) -> None:
        self._cache[key] = image
        while len(self._cache) > 1 and sum(a.nbytes for a in self._cache.values()) > _CACHE_BYTES:
            del self._cache[next(iter(self._cache))]

    def _check_complete(self) -> None:
        if not self._index.incomplete and self.frame_count:
            return
        if self.frame_count < 2:
            raise FootageError(
                "footage_truncated" if self._index.incomplete else "footage_undecodable",
                f"{self.path} is damaged or cut off: {self.frame_count} of its frames can be decoded.",
                "Copy or export it again in full.",
            )
        self.warnings.append(
            (
                "footage_truncated",
                f"{self.path} is damaged or cut off; the {self.frame_count} frames that can be decoded are used.",
                "Copy or export it again in full if frames are missing.",
            )
        )

    def _read_properties(self, fps: float | None) -> None:
        """Size, orientation, colour and timing, from the stream and its first decoded frame."""
        with _Cursor(self._file, self._index) as cursor:
            frame = cursor.frame(0)
            stream = cursor.stream
            aspect = float(stream.sample_aspect_ratio or 0) or 1.0
            self._orient = orientation(frame)
            self._set_colour(frame)
            self._set_timing(stream, fps)
        turned = self._orient[0]
        self.width, self.height = (frame.height, frame.width) if turned else (frame.width, frame.height)
        self.pixel_aspect = 1.0 / aspect if turned else aspect
        if abs(self.pixel_aspect - 1.0) > 1e-3:
            self.warnings.append(
                (
                    "footage_pixel_aspect",
                    f"{self.path} has pixels {self.pixel_aspect:.3f} times as wide as high; frames are not stretched.",
                    "Set the same pixel aspect in the render settings, or convert the footage to square pixels.",
                )
            )
        if frame.interlaced_frame:
            self.warnings.append(
                ("footage_interlaced", f"{self.path} is interlaced.", "Deinterlace it for an exact camera.")
            )

    def _set_colour(self, frame: av.VideoFrame) -> None:
        # Untagged video follows the broadcast habit: high definition is BT.709, smaller is BT.601.
        untagged = Colorspace.ITU709 if max(frame.width, frame.height) >= 1280 else Colorspace.ITU601
        self._matrix = _MATRICES.get(int(frame.colorspace), untagged)
        full = int(frame.color_range) == 2 or frame.format.name.startswith("yuvj")
        self._color_range = ColorRange.JPEG if full else ColorRange.MPEG
        self._reformatter = VideoReformatter()
        curve = _HIGH_DYNAMIC_RANGE.get(int(frame.color_trc))
        if curve:
            self.warnings.append(
                (
                    "footage_high_dynamic_range",
                    f"{self.path} is high dynamic range ({curve}); its colours are shown without tone mapping.",
                    "Convert it to standard dynamic range if its colours matter.",
                )
            )

    def _set_timing(self, stream: av.VideoStream, fps: float | None) -> None:
        stated = float(stream.average_rate or stream.guessed_rate or DEFAULT_FPS)
        if self._index.stamped and self.frame_count > 1:
            times = (self._index.pts - self._index.pts[0]) * float(stream.time_base)
            spacing = np.diff(times)
            mean_rate = 1.0 / float(spacing.mean())
            # Stamps are rounded to the stream's time base: 1/1000 s in Matroska.
            slack = max(1.5 * float(stream.time_base), 0.02 * float(np.median(spacing)))
            self.variable_frame_rate = bool(np.abs(spacing - np.median(spacing)).max() > slack)
            rate = stated if abs(stated / mean_rate - 1.0) < 0.02 else mean_rate
        else:
            times = np.arange(self.frame_count) / stated
            self.variable_frame_rate = False
            rate = stated
        self.times = times[self.indices]
        self.fps = float(rate if fps is None else fps)

    def _convert(self, frame: av.VideoFrame, gray: bool) -> np.ndarray:
        """A decoded frame as upright uint8 RGB (h, w, 3) or full-range luma (h, w)."""
        if (frame.width, frame.height) != ((self.height, self.width) if self._orient[0] else (self.width, self.height)):
            raise FootageError(
                "footage_mixed_sizes",
                f"{self.path} changes its picture size to {frame.width} x {frame.height} on the way.",
                "Choose a range of one size, or convert the footage.",
            )
        rgb = frame.format.is_rgb or frame.format.name.startswith("pal")
        image = self._reformatter.reformat(
            frame,
            format="gray" if gray else "rgb24",
            interpolation=Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT,
            src_colorspace=None if rgb else self._matrix,
            src_color_range=None if rgb else self._color_range,
            dst_color_range=None if rgb and not gray else ColorRange.JPEG,
        ).to_ndarray()
        transpose, mirror_x, mirror_y = self._orient
        if transpose:
            image = image.swapaxes(0, 1)
        return image[:: -1 if mirror_y else 1, :: -1 if mirror_x else 1]


def orientation(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """How to turn a decoded frame upright: transpose, then mirror left-right, then mirror top-bottom.

    From the display matrix of ISO/IEC 14496-12: a stored point (p, q) is shown at (a p + c q, b p + d q).
    """
    matrix = frame.side_data.get(SideDataType.DISPLAYMATRIX)
    if matrix is None:
        return False, False, False
    a, b, _, c, d = np.frombuffer(bytes(matrix), dtype=np.int32)[:5].astype(int)  # 3 x 3 fixed point, row by row
    if abs(b) + abs(c) > abs(a) + abs(d):
        return True, bool(c < 0), bool(b < 0)
    return False, bool(a < 0), bool(d < 0)


class _Cursor:
    """An open decoder that gives frames by footage index, cheapest when they rise."""

    def __init__(self, file: Path, index: MovieIndex):
        self._file = file
        self._index = index
        self._keys = np.flatnonzero(index.key)
        self.container, self.stream = open_container(file)
        self._frames = decode_packets(self.container, self.stream)
        self._next = 0  # footage index of the frame that the decoder gives next, if nothing is lost
        self._ahead: av.VideoFrame | None = None  # decoded, but later than what was asked for

    def __enter__(self) -> "_Cursor":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        self._frames.close()
        self.container.close()

    def frame(self, index: int) -> av.VideoFrame:
        """The decoded frame at a footage index. Raises FootageError ``footage_undecodable`` naming it."""
        key = self._keys[: np.searchsorted(self._keys, index, side="right")]
        if index < self._next or (self._index.stamped and len(key) and key[-1] > self._next + _SEEK_BEYOND):
            start = len(key) - 1
            while True:
                self._go_to(int(key[start]) if start >= 0 and self._index.stamped else 0)
                found = self._advance(index)
                if found is not None:
                    return found
                if start < 0 or key[start] == 0 or not self._index.stamped:
                    break
                start -= 1  # the stamps of an open group of pictures can make a seek land too late
        else:
            found = self._advance(index)
            if found is not None:
                return found
        raise FootageError(
            "footage_undecodable",
            f"Frame {index} of {self._file} cannot be decoded.",
            "Choose a range without it, or copy or convert the footage again.",
        )

    def _go_to(self, key: int) -> None:
        self._frames.close()
        self._ahead = None
        if key == 0:  # a fresh start is the one seek that never misses
            self.container.close()
            self.container, self.stream = open_container(self._file)
        else:
            self.container.seek(int(self._index.pts[key]), stream=self.stream, backward=True, any_frame=False)
        self._frames = decode_packets(self.container, self.stream)
        self._next = key

    def _advance(self, index: int) -> av.VideoFrame | None:
        """Decode on to ``index``; None when the decoder is past it."""
        if not self._index.stamped:
            for frame in self._frames:
                self._next += 1
                if self._next > index:
                    return frame
            return None
        target = int(self._index.pts[index])
        self._next = index + 1
        while True:
            frame = self._ahead if self._ahead is not None else next(self._frames, None)
            self._ahead = None
            if frame is None or frame.pts is None:
                return None
            if frame.pts == target:
                return frame
            if frame.pts > target:
                self._ahead = frame
                return None
