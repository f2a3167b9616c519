"""``openseg test --report DIR``: counts per image while testing, then results and their page."""

import argparse
import hashlib
import os
import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dist import collect_results
from mmengine.hooks import Hook
from mmengine.structures import BaseDataElement
from torch import Tensor

from openseg_plugin.engine.hooks.visualization import TestedImages, ignored_label
from openseg_plugin.errors import ConfigError, DataError
from openseg_plugin.layers.tiled_argmax import sampling_stride
from openseg_plugin.registry import HOOKS
from openseg_plugin.report import MAX_IMAGES, PAGE
from openseg_plugin.report.collect import count_image
from openseg_plugin.report.page import write_report
from openseg_plugin.report.results import (
    SAMPLING,
    Results,
    TestedImage,
    command_and_versions,
    given_options,
    write_results,
)
from openseg_plugin.utils.files import atomic_write
from openseg_plugin.utils.images import label_bytes
from openseg_plugin.utils.palette import distinct_colors, distinct_names
from openseg_plugin.utils.pool import usable_cores

_OPTIONS = (
    *('data', 'aug_test', 'scales', 'flip', 'segfix', 'segfix_scale', 'cfg_options'),
    *('backend', 'precision', 'exact', 'compiled'),
)


def set_report(cfg: Config, args: argparse.Namespace) -> None:
    """Asks the model for the probabilities that a report needs.

    Raises:
        ConfigError: an option does not fit.
    """
    if args.report is None:
        if args.report_images is not None:
            raise ConfigError('--report-images belongs to --report: add it or leave it out')
        return
    if args.format_only:
        raise ConfigError('--report needs ground truth, which --format-only leaves out: leave one')
    if args.report_images is not None and args.report_images < 0:
        raise ConfigError(f'--report-images {args.report_images}: give 0 or a larger number')
    if os.path.exists(args.report) and not os.path.isdir(args.report):
        raise ConfigError(f'--report {args.report} is a file: give a folder')
    if 'decode_head' in cfg.model:  # not those of test-time augmentation
        cfg.model.test_cfg = {
            **(cfg.model.get('test_cfg') or {'mode': 'whole'}),
            'with_confidence': True,
        }


def report_hook(args: argparse.Namespace, settings: Mapping[str, Any]) -> 'ReportHook':
    """The hook that ``--report`` asks for.

    Args:
        args: of ``openseg test``.
        settings: the config as its file gives it.
    """
    return ReportHook(
        args.report,
        max_images=MAX_IMAGES if args.report_images is None else args.report_images,
        protocol=protocol_of(args),
        config=flattened(settings),
    )


def protocol_of(args: argparse.Namespace) -> dict[str, str]:
    """How it is tested, as text: files, options, versions, command.

    Args:
        args: of ``openseg test``; ``asked``, where it is there, has the options as they were given.
    """
    protocol = {'config': str(args.config), 'checkpoint': str(args.checkpoint)}
    if os.path.isfile(args.checkpoint):
        protocol['checkpoint SHA-256'] = _sha256(args.checkpoint)
    protocol |= given_options(getattr(args, 'asked', args), _OPTIONS)
    protocol['device'] = torch.cuda.get_device_name() if torch.cuda.is_available() else 'CPU'
    return protocol | command_and_versions()


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while part := file.read(2**20):
            digest.update(part)
    return digest.hexdigest()


def flattened(settings: Mapping[str, Any], prefix: str = '') -> dict[str, str]:
    """Values of nested dicts and of lists of dicts as text, by dotted key."""
    flat: dict[str, str] = {}
    for key, value in settings.items():
        name = f'{prefix}{key}'
        if isinstance(value, list | tuple) and any(isinstance(one, Mapping) for one in value):
            value = {str(index): one for index, one in enumerate(value)}
        if isinstance(value, Mapping):
            flat |= flattened(value, f'{name}.')
        else:
            flat[name] = str(value)
    return flat


@dataclass(frozen=True)
class _Maps:
    """What is counted of one image: arrays on the CPU."""

    name: str
    image: str
    prediction: np.ndarray
    label: np.ndarray
    before: np.ndarray | None
    confidence: np.ndarray | None
    foreground: np.ndarray | None
    stride: int
    seconds: float


@HOOKS.register_module()
class ReportHook(Hook):
    """Writes results and page of a test into a folder, see :mod:`openseg_plugin.report`.

    Counting runs in threads beside the network. Every process counts its own images. Pixels whose
    label the metrics leave out are left out.

    Args:
        folder: made if it is not there; ``labels/`` in it gets the class ids of ground truth and
            prediction.
        max_images: images that the page draws.
        protocol: how it is tested, as text by name.
        config: values of the config as text by dotted key.
    """

    def __init__(
        self,
        folder: str,
        *,
        max_images: int = MAX_IMAGES,
        protocol: Mapping[str, str] | None = None,
        config: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.max_images = max_images
        self.protocol = dict(protocol or {})
        self.config = dict(config or {})
        self._ignored = 255
        self._waiting: list[Future[TestedImage]] = []
        self._pool: ThreadPoolExecutor | None = None

    def before_test_epoch(self, runner) -> None:
        """Makes the folder and names the images."""
        self.folder.mkdir(parents=True, exist_ok=True)
        dataset = runner.test_dataloader.dataset
        paths = [dataset.get_data_info(index)['img_path'] for index in range(len(dataset))]
        self._names = image_names(paths)
        images = TestedImages(dataset)
        self._images = None if images.are_plain else images
        self._workers = max(1, min(usable_cores() // 2, 8))
        self._pool = ThreadPoolExecutor(self._workers)
        self._ignored = ignored_label(runner.test_loop.evaluator.metrics)
        self._waiting = []
        self._last = time.perf_counter()

    def after_test_iter(
        self,
        runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence[BaseDataElement] | None = None,
    ) -> None:
        """Hands the predictions of one batch to the threads."""
        assert self._pool is not None and outputs is not None
        seconds = (time.perf_counter() - self._last) / max(len(outputs), 1)
        num_classes = len(runner.test_dataloader.dataset.metainfo['classes'])
        for sample in outputs:
            if 'gt_sem_seg' not in sample:
                raise DataError(
                    f'{sample.metainfo["img_path"]} has no label map: --report needs ground truth; '
                    'leave it out, or test on labelled images'
                )
            maps = self._maps(sample, seconds)
            self._waiting.append(self._pool.submit(self._count, maps, num_classes))
        behind = self._waiting[-2 * self._workers :][:1]
        wait(behind if len(self._waiting) > 2 * self._workers else [])
        self._last = time.perf_counter()

    def _maps(self, sample: BaseDataElement, seconds: float) -> _Maps:
        prediction = sample.pred_sem_seg.data[0]
        before = None
        if 'pred_before_segfix' in sample:
            before = sample.pred_before_segfix.data[0].cpu().numpy()
        stride = sampling_stride(tuple(prediction.shape))
        confidence = foreground = None
        probabilities = _probabilities(sample, stride)
        if probabilities is not None:
            chosen = prediction[::stride, ::stride].to(probabilities.device)
            if len(probabilities) == 1:
                foreground = probabilities[0]
                confidence = torch.where(chosen == 1, foreground, 1 - foreground)
            else:
                confidence = probabilities.gather(0, chosen[None])[0]
        path = sample.metainfo['img_path']
        return _Maps(
            name=self._names[path],
            image=path,
            prediction=prediction.cpu().numpy(),
            label=sample.gt_sem_seg.data[0].cpu().numpy(),
            before=before,
            confidence=None if confidence is None else confidence.float().cpu().numpy(),
            foreground=None if foreground is None else foreground.float().cpu().numpy(),
            stride=stride,
            seconds=seconds,
        )

    def _count(self, maps: _Maps, num_classes: int) -> TestedImage:
        kind = np.uint8 if num_classes < 255 else np.uint16
        files = []
        for part, ids in (('ground_truth', maps.label), ('prediction', maps.prediction)):
            path = self.folder / 'labels' / part / f'{maps.name}.png'
            with atomic_write(path, sync=False) as temporary:
                Path(temporary).write_bytes(label_bytes(ids.astype(kind)))
            files.append(path)
        try:
            counts = count_image(
                maps.prediction,
                maps.label,
                num_classes=num_classes,
                ignore_index=self._ignored,
                confidence=maps.confidence,
                foreground=maps.foreground,
                stride=maps.stride,
                before=maps.before,
                seconds=maps.seconds,
            )
        except DataError as error:
            raise DataError(f'{maps.image}: {error}') from error
        size = (int(maps.label.shape[0]), int(maps.label.shape[1]))
        image = Path(maps.image)
        if self._images is not None:  # of other bands or numbers: the page shows a copy for people
            image = self.folder / 'images' / f'{maps.name}.jpg'
            pixels = cv2.cvtColor(self._images.read(maps.image), cv2.COLOR_RGB2BGR)
            content = cv2.imencode('.jpg', pixels)[1].tobytes()
            with atomic_write(image, sync=False) as temporary:  # imwrite is silent on a full disk
                Path(temporary).write_bytes(content)
        return TestedImage(maps.name, size, counts, image.absolute(), *files)

    def after_test_epoch(self, runner, metrics: dict[str, float] | None = None) -> None:
        """Gathers the counts of all processes and writes results and page."""
        assert self._pool is not None
        try:
            tested = [one.result() for one in self._waiting]
        finally:
            self._pool.shutdown(cancel_futures=True)
        dataset = runner.test_dataloader.dataset
        gathered = collect_results(tested, len(dataset), device='gpu')
        if gathered is None:  # another process writes
            return
        classes = dataset.metainfo['classes']
        palette = dataset.metainfo.get('palette') or distinct_colors(len(classes))
        strides = {
            sampling_stride(one.size) for one in gathered if one.counts.confidence is not None
        }
        sampling = {SAMPLING: sampling_text(strides)} if strides else {}
        results = Results(
            classes=distinct_names(classes),
            palette=tuple(tuple(int(value) for value in color) for color in palette),
            ignore_index=self._ignored,
            images=tuple(gathered),
            protocol=self.protocol | sampling,
            config=self.config,
        )
        write_results(self.folder, results)
        for problem in write_report(self.folder, results, max_images=self.max_images)[:5]:
            runner.logger.warning(f'not drawn: {problem}')
        runner.logger.info(f'report is in {self.folder / PAGE}')


def _probabilities(sample: BaseDataElement, stride: int) -> Tensor | None:
    """(K, h, w) at every ``stride``-th pixel, where the model gives any."""
    if 'sampled_probabilities' in sample:
        return sample.sampled_probabilities.data
    if 'seg_logits' not in sample:
        return None
    logits = sample.seg_logits.data[:, ::stride, ::stride].float()
    return logits.sigmoid() if len(logits) == 1 else logits.softmax(0)


def sampling_text(strides: Collection[int]) -> str:
    """Where confidences are measured, such as 'one pixel of each 4 x 4'."""
    if set(strides) == {1}:
        return 'every pixel'
    parts = [f'{one} x {one}' for one in sorted({min(strides), max(strides)})]
    by_size = ', by the size of the image' if len(parts) > 1 else ''
    return f'one pixel of each {" to ".join(parts)}{by_size}'


def image_names(paths: Sequence[str]) -> dict[str, str]:
    """A unique name per image path: what follows the folder of all, without the suffix."""
    folder = os.path.dirname(paths[0]) if paths else ''
    while folder and not all(path.startswith(os.path.join(folder, '')) for path in paths):
        folder = os.path.dirname(folder) if os.path.dirname(folder) != folder else ''
    relative = {path: os.path.relpath(path, folder) if folder else path for path in paths}
    stems = {path: os.path.splitext(name)[0] for path, name in relative.items()}
    taken = list(stems.values())
    names = stems if len(set(taken)) == len(taken) else relative
    return {path: name.replace(os.sep, '/').lstrip('/') for path, name in names.items()}
