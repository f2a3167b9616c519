"""Frames of videos and cameras, and predictions as H.264 in an mp4 that plays when interrupted.

The mp4 is fragmented: whatever was written before a kill can be played. Needs the extra
``[video]`` (PyAV).
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from openseg_plugin.errors import DataError, DependencyError

_CAMERA = 'camera:'
_AHEAD = 4  # frames


def _av() -> Any:
    try:
        import av
    except ImportError as error:
        raise DependencyError(
            'videos need the package av, which is not installed: pip install openseg_plugin[video]'
        ) from error
    return av


def _opened(path: str) -> Any:
    av = _av()
    try:
        if path.startswith(_CAMERA):
            return av.open(f'/dev/video{path.removeprefix(_CAMERA)}', format='v4l2')
        if not Path(path).is_file():
            raise DataError(f'video {path} does not exist')
        if not Path(path).stat().st_size:
            raise DataError(f'video {path} is an empty file: replace it by an intact copy')
        container = av.open(path)
    except (av.FFmpegError, OSError) as error:
        raise DataError(f'{path} cannot be opened as a video ({error})') from error
    if not container.streams.video:
        container.close()
        raise DataError(f'{path} holds no video')
    return container


def frames_of(path: str, *, as_stored: bool = False) -> Iterator[np.ndarray]:
    """Frames of a video file or of ``camera:N``, (H, W, 3) uint8 RGB, decoded one by one.

    Args:
        path: of the file, or ``camera:N``.
        as_stored: do not turn them as the file says that players do.

    Raises:
        DataError: it cannot be opened or decoded.
        DependencyError: PyAV is missing.
    """
    av = _av()
    with _opened(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = 'AUTO'
        try:
            for frame in container.decode(stream):
                image = frame.to_ndarray(format='rgb24')
                # in degrees, counterclockwise; PyAV 12 does not say
                turns = 0 if as_stored else round(getattr(frame, 'rotation', 0) / 90) % 4
                yield np.ascontiguousarray(np.rot90(image, turns)) if turns else image
        except av.FFmpegError as error:
            raise DataError(f'{path} breaks off or is damaged ({error})') from error


def read_ahead(frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """The same frames, the next few of which are decoded while one is used."""
    with ThreadPoolExecutor(1) as pool:
        waiting = deque(pool.submit(next, frames, None) for _ in range(_AHEAD))
        while (frame := waiting.popleft().result()) is not None:
            waiting.append(pool.submit(next, frames, None))
            yield frame


def rate_and_length(path: str) -> tuple[Fraction, int]:
    """Frames per second and number of frames, 0 where the file does not say.

    Raises:
        DataError: it cannot be opened.
        DependencyError: PyAV is missing.
    """
    with _opened(path) as container:
        stream = container.streams.video[0]
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        length = stream.frames
        if not length and stream.duration and stream.time_base:
            length = int(stream.duration * stream.time_base * rate)
        return Fraction(rate), length


class VideoWriter:
    """Writes frames of one size as H.264; use it as a context manager.

    Args:
        path: of the mp4; its folder is there.
        rate: frames per second.

    Raises:
        DependencyError: PyAV is missing.
    """

    def __init__(self, path: Path, rate: Fraction) -> None:
        self._container = _av().open(
            str(path),
            'w',
            format='mp4',
            options={'movflags': 'frag_keyframe+empty_moov', 'flush_packets': '1'},
        )
        self._rate = rate
        self._stream: Any = None

    def write(self, image: np.ndarray) -> None:
        """Adds a frame (H, W, 3) uint8 RGB; odd sides get one more row or column."""
        height, width = image.shape[:2]
        image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode='edge')
        if self._stream is None:
            self._stream = self._container.add_stream('libx264', rate=self._rate)
            self._stream.height, self._stream.width = image.shape[:2]
            self._stream.pix_fmt = 'yuv420p'
            self._stream.options = {'crf': '18', 'g': '25'}
        frame = _av().VideoFrame.from_ndarray(np.ascontiguousarray(image), format='rgb24')
        self._container.mux(self._stream.encode(frame))

    def __enter__(self) -> 'VideoWriter':
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._stream is not None:
            self._container.mux(self._stream.encode())
        self._container.close()
