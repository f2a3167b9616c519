"""Sources are predicted and their results written, image by image or several of one size together.

What fails is remembered, the others are done. Results that are there are kept.
"""

import contextlib
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from openseg_plugin.errors import ConfigError, DataError, DependencyError, UserError
from openseg_plugin.inference.results import Options, class_list, predict_video
from openseg_plugin.inference.segmentation import Segmentation
from openseg_plugin.inference.segmenter import Segmenter
from openseg_plugin.inference.sources import Source
from openseg_plugin.segfix.sources import Offsets
from openseg_plugin.utils.batch import Output
from openseg_plugin.utils.files import TargetError
from openseg_plugin.utils.pool import in_background
from openseg_plugin.utils.progress import Progress

_SCORES = ('probabilities', 'confidence')  # kinds that images in tiles do not have
_WRITERS = 2  # threads
_WAITING = 8  # results that wait to be written
_LARGE = 2**24  # pixels


@dataclass(frozen=True)
class _Read:
    """A source.

    Attributes:
        source: where from.
        image: (H, W) or (H, W, C), which is being read; of videos there is none.
    """

    source: Source
    image: Future[Any]

    @property
    def is_moving(self) -> bool:
        """It is a video or camera."""
        return self.source.kind in ('video', 'camera')


class PredictionRun:
    """Predicts sources and writes results, while the next images are read.

    Args:
        segmenter: what predicts.
        options: what is written, and how it looks.
        output: the folder, which remembers what its results were made with.
        overwrite: predict again what is there already.
        videos_with: kinds that were asked for by name; videos have an overlay by themselves.
        offsets: files of SegFix, which results are made of, too; None without them.

    Attributes:
        done: sources all of whose results were written, with size, files and pixels per class.
        kept: paths of sources whose results were there.
        failures: (path, what is wrong).
    """

    def __init__(
        self,
        segmenter: Segmenter,
        options: Options,
        output: Output,
        *,
        overwrite: bool,
        videos_with: Sequence[str] | None,
        offsets: Offsets | None,
    ) -> None:
        self.segmenter = segmenter
        self.options = options
        self.output = output
        self.overwrite = overwrite
        self.offsets = offsets
        self.frame_labels = 'labels' in (videos_with or ())
        self.kept: list[str] = []
        self._is_first = True  # nothing was predicted so far
        self.failures: list[tuple[str, str]] = []  # path, what is wrong
        self.done: list[dict[str, Any]] = []  # all of whose results were written

    def as_data(self, seconds: float) -> dict[str, Any]:
        """What was done, for ``--json``."""
        return dict(
            predicted=self.done,
            kept=self.kept,
            failed=[dict(source=path, reason=reason) for path, reason in self.failures],
            seconds=round(seconds, 3),
            out=str(self.output.folder),
        )

    def all(self, sources: Sequence[Source]) -> int:
        """Number of images and frames that were predicted; those that failed are remembered."""
        waiting = [source for source in sources if not self._is_done(source)]
        undone = set(waiting)
        self.kept = [source.path for source in sources if source not in undone]
        if 'polygons' in self.options.kinds:
            self.output.write(*class_list(self.segmenter.classes))
        with (
            Progress('predict', total=len(waiting), show=len(waiting) > 1) as progress,
            ThreadPoolExecutor(3) as readers,
            in_background(_WRITERS) as write,
        ):
            group: list[_Read] = []

            def finish() -> None:
                for one, seg in zip(group, self._together(group)):
                    self._noting(one, write, seg)
                    progress.step()
                group.clear()

            for source, image in self.segmenter.read_ahead(waiting, readers):
                one = _Read(source, image)
                is_still = not one.is_moving and image.exception() is None
                if group and not (is_still and self._fits(one, group)):
                    finish()
                group.append(one)
                if not is_still or len(group) >= self.segmenter.together:
                    finish()
            finish()
        return sum(one.get('frames', 1) for one in self.done)

    def _fits(self, one: _Read, group: Sequence[_Read]) -> bool:
        """Whether an image can be predicted in one pass with those of a group."""
        if self._form(one) != self._form(group[0]):
            return False
        height, *rest = one.image.result().shape
        return not self.segmenter.cuts((height * (len(group) + 1), *rest))

    def _form(self, one: _Read) -> tuple[Any, ...]:
        pixels = one.image.result()
        return pixels.shape, pixels.dtype, self._is_bgr(one)

    def _is_bgr(self, one: _Read) -> bool:
        return self.segmenter.is_bgr or one.source.kind == 'address'

    def _together(self, group: Sequence[_Read]) -> Sequence[Segmentation | None]:
        """Segmentations of images of one size; None: it is to be predicted alone."""
        if len(group) > 1:
            # the fault of one of them is told from the others when it is alone
            with contextlib.suppress(UserError, RuntimeError):
                return self.segmenter.segment_together(
                    [one.image.result() for one in group],
                    paths=[one.source.path for one in group],
                    is_bgr=self._is_bgr(group[0]),
                    keeps_scores=any(kind in _SCORES for kind in self.options.kinds),
                )
        return [None] * len(group)

    def _noting(self, one: _Read, write: Callable[..., None], seg: Segmentation | None) -> None:
        """Finishes a source; what is wrong with it is remembered."""
        try:
            if one.is_moving:
                self._video(one.source)
            else:
                self._image(one, write, seg)
        except (TargetError, DependencyError):  # nothing more can be done
            raise
        except UserError as error:
            if isinstance(error, ConfigError) and self._is_first and not self.failures:
                raise  # about model or options: it would be said of every image
            self.failures.append((one.source.path, str(error)))
        else:
            self._is_first = False

    def _video(self, source: Source) -> None:
        folder = self.output.folder
        frames = predict_video(
            self.segmenter, source, folder, self.options, labels=self.frame_labels
        )
        files = dict(video=str(folder / f'{source.name}.mp4'))
        self.output.remember(PurePosixPath(f'{source.name}.mp4'), source.origin)
        if self.frame_labels:
            files['labels'] = str(folder / source.name)
        self.done.append(dict(source=source.path, frames=frames, files=files))

    def _image(self, one: _Read, write: Callable[..., None], seg: Segmentation | None) -> None:
        source, pixels = one.source, one.image.result()
        kinds = [kind for kind in self.options.kinds if kind not in _SCORES]
        if len(kinds) < len(self.options.kinds) and self.segmenter.cuts(pixels.shape):
            reason = (
                f'{source.path} is predicted in tiles, whose scores are not kept, so there are no '
                f'{" and ".join(kind for kind in self.options.kinds if kind in _SCORES)}: leave '
                'them out of --save, give a smaller image, or --tile off'
            )
            results = self.options.files(source.name)
            if self.overwrite or not self._are_there(source, [results[kind] for kind in kinds]):
                print(reason, file=sys.stderr)  # before it takes its time
            else:
                raise DataError(reason)  # nothing else is left to do
            self.failures.append((source.path, reason))
        else:
            kinds = [*self.options.kinds]
        if seg is None:
            seg = self.segmenter.segment(pixels, path=source.path, is_bgr=self._is_bgr(one))
        # of large images, whose results take much memory, one waits
        most = _WAITING if seg.labels.size < _LARGE else 1
        write(self._written, seg, source, kinds, most=most)

    def _written(self, seg: Segmentation, source: Source, kinds: Sequence[str]) -> None:
        """Writes results of these kinds; runs in a thread."""
        files: dict[str, str] = {}
        is_whole = len(kinds) == len(self.options.kinds)
        for kind, file in self.options.files(source.name).items():
            if kind not in kinds:
                continue
            try:
                content = self.options.content(seg, kind, self.output.folder / file)
                self.output.write(file, content, made_of=source.origin)
            except TargetError:
                raise
            except UserError as error:
                self.failures.append((source.path, str(error)))
                is_whole = False
            except MemoryError:
                self.failures.append(
                    (source.path, f'{source.path}: the memory is not enough to write its {kind}')
                )
                is_whole = False
            else:
                files[kind] = str(self.output.folder / file)
        if not is_whole:
            return
        counts = np.bincount(seg.labels.ravel(), minlength=len(seg.classes))
        self.done.append(
            dict(
                source=source.path,
                size=list(seg.labels.shape),
                files=files,
                pixels=dict(zip(seg.classes, counts.tolist())),
            )
        )

    def _is_done(self, source: Source) -> bool:
        if self.overwrite or source.kind == 'camera':
            return False
        if source.kind != 'video':
            return self._are_there(source, [*self.options.files(source.name).values()])
        frames = self.output.folder / source.name
        if self.frame_labels and not frames.is_dir():
            return False
        # the video is finished after the last of its frames
        more = [frames] if self.frame_labels else []
        return self._are_there(source, [PurePosixPath(f'{source.name}.mp4')], *more)

    def _are_there(self, source: Source, results: list[PurePosixPath], *more: Path) -> bool:
        """Whether results of a source are there, newer than it and than what more there is."""
        files = [*more, *([Path(source.path)] if source.kind != 'address' else [])]
        if self.offsets is not None:
            try:
                files.append(self.offsets.source(PurePosixPath(source.path)))
            except DataError:  # which the prediction says of this image
                return False
        done = [self.output.is_done(file, files, made_of=source.origin) for file in results]
        return all(done)
