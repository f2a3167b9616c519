"""Images of a test: predictions (``--show-dir``) and attention of multi-scale networks.

The images are read as the config's pipeline reads them, whatever their format and channels.
"""

import argparse
import os
from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.structures import BaseDataElement
from mmseg.evaluation import IoUMetric as StockIoUMetric
from mmseg.visualization import SegLocalVisualizer

from openseg_plugin.errors import ConfigError
from openseg_plugin.evaluation.iou_metric import IoUMetric
from openseg_plugin.registry import HOOKS, VISUALIZERS
from openseg_plugin.report.panel import ScaleView, draw_attention_sheet, draw_panel
from openseg_plugin.utils.images import OutputNames, for_display
from openseg_plugin.utils.palette import distinct_colors


@VISUALIZERS.register_module()
class Visualizer(SegLocalVisualizer):
    """mmseg's visualizer, which makes its figure when something is drawn into it.

    matplotlib takes a second to import, and most trainings draw nothing.
    """

    _is_built = False
    _figure: tuple | None = None

    def __init__(self, name: str = 'visualizer', *args: Any, **options: Any) -> None:
        super().__init__(name, *args, **options)
        self._is_built = True

    def _initialize_fig(self, fig_cfg: dict) -> tuple:
        return (None, None, None) if not self._is_built else super()._initialize_fig(fig_cfg)

    def _part(self, number: int) -> Any:
        if not self._is_built:
            return _NoFigure()
        if self._figure is None:
            self._figure = self._initialize_fig(self.fig_save_cfg)
        return self._figure[number]

    def _keep_nothing(self, value: Any) -> None:
        """mmengine sets these; they are made when they are read."""

    fig_save_canvas = property(lambda self: self._part(0), _keep_nothing)
    fig_save = property(lambda self: self._part(1), _keep_nothing)
    ax_save = property(lambda self: self._part(2), _keep_nothing)
    dpi = property(lambda self: self.fig_save.get_dpi(), _keep_nothing)


class _NoFigure:
    """What mmengine asks for its resolution while it builds a visualizer."""

    def get_dpi(self) -> None:
        return None


def leaf_datasets(dataset: Any) -> Iterator[Any]:
    """The datasets with a pipeline in a dataset of mmengine, behind wrappers."""
    inside = getattr(dataset, 'datasets', None) or [getattr(dataset, 'dataset', None)]
    inside = [one for one in inside if one is not None]
    if not inside:
        yield dataset
    for one in inside:
        yield from leaf_datasets(one)


def output_names(dataset: Any) -> OutputNames:
    """Names for the results of a dataset's images: their sub-folders stay."""
    prefixes = [getattr(one, 'data_prefix', None) or {} for one in leaf_datasets(dataset)]
    return OutputNames([one['img_path'] for one in prefixes if one.get('img_path')])


class TestedImages:
    """The images of a test set for people, and names for their drawings.

    Args:
        dataset: the test set.
    """

    def __init__(self, dataset: Any) -> None:
        self.names = output_names(dataset)
        steps = next(leaf_datasets(dataset)).pipeline.transforms
        self._load = next(step for step in steps if 'Load' in type(step).__name__)

    @property
    def are_plain(self) -> bool:
        """Whether they are loaded as three channels of 8 bits, as anybody's reader shows them."""
        color = str(getattr(self._load, 'color_type', ''))
        is_float = getattr(self._load, 'to_float32', False)
        backend = getattr(self._load, 'imdecode_backend', 'cv2')
        return color.startswith('color') and backend != 'tifffile' and not is_float

    def read(self, path: str) -> np.ndarray:
        """(H, W, 3) uint8 RGB."""
        loaded = self._load({'img_path': path})['img']
        image = for_display(loaded)
        # mmcv's decoders give BGR, but tifffile gives bands as they lie in the file
        is_bgr = getattr(self._load, 'imdecode_backend', 'cv2') != 'tifffile'
        return np.ascontiguousarray(image[..., ::-1]) if is_bgr else image


class _DrawingHook(Hook):
    """Writes ``folder/<name>.jpg`` for every tested image; sub-folders stay.

    Args:
        folder: made if it is not there.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def before_test(self, runner) -> None:
        """Makes the folder."""
        os.makedirs(self.folder, exist_ok=True)
        self.images = TestedImages(runner.test_dataloader.dataset)

    def write(self, path: str, drawing: np.ndarray, *, option: str) -> None:
        """Puts the drawing (H, W, 3) uint8 RGB of the image ``path`` into the folder.

        Raises:
            ConfigError: it cannot be written.
            DataError: another image's drawing has its name.
        """
        file = os.path.join(self.folder, f'{self.images.names.of(path)}.jpg')
        os.makedirs(os.path.dirname(file), exist_ok=True)
        if not cv2.imwrite(file, cv2.cvtColor(drawing, cv2.COLOR_RGB2BGR)):
            raise ConfigError(f'{file} cannot be written: give another {option}')


@HOOKS.register_module()
class OverlayHook(_DrawingHook):
    """Writes one panel per tested image: ``folder/<name>.jpg``.

    Pixels whose label the metrics leave out are hatched.

    Args:
        folder: made if it is not there.
    """

    def after_test_iter(
        self,
        runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence[BaseDataElement] = (),
    ) -> None:
        """Draws the predictions of one batch."""
        metainfo = runner.test_dataloader.dataset.metainfo
        ignored = ignored_label(runner.test_loop.evaluator.metrics)
        for sample in outputs:
            path = sample.metainfo['img_path']
            label = None
            if 'gt_sem_seg' in sample:
                label = sample.gt_sem_seg.data[0].cpu().numpy()
            before = None
            if 'pred_before_segfix' in sample:
                before = sample.pred_before_segfix.data[0].cpu().numpy()
            panel = draw_panel(
                self.images.read(path),
                label,
                sample.pred_sem_seg.data[0].cpu().numpy(),
                metainfo.get('palette') or distinct_colors(len(metainfo['classes'])),
                metainfo['classes'],
                ignore_index=ignored,
                title=os.path.splitext(os.path.basename(path))[0],
                before=before,
            )
            self.write(path, panel, option='--show-dir')

    def after_test(self, runner) -> None:
        """Says where the panels are."""
        runner.logger.info(f'images are in {self.folder}')


def set_attention(cfg: Config, args: argparse.Namespace) -> None:
    """Adds the hook where it is asked for.

    Raises:
        ConfigError: together with ``--aug-test``, whose views have sheets of their own.
    """
    if args.show_attention is None:
        return
    if args.aug_test:
        raise ConfigError('--show-attention draws the plain test: leave --aug-test out')
    hook = dict(type='openseg_plugin.AttentionHook', folder=args.show_attention)
    cfg.custom_hooks = [*(cfg.get('custom_hooks') or []), hook]


@HOOKS.register_module()
class AttentionHook(_DrawingHook):
    """Writes ``folder/<name>.jpg`` per tested image; the passes are computed once more for it.

    Args:
        folder: made if it is not there.
    """

    def before_test(self, runner) -> None:
        """Makes the folder.

        Raises:
            ConfigError: the model has no scales.
        """
        model = getattr(runner.model, 'module', runner.model)
        if not hasattr(model, 'scale_views'):
            raise ConfigError(
                f'--show-attention needs a multi-scale network, but the model is a '
                f'{type(model).__name__}: take a config of configs/hmsa or leave it out'
            )
        super().before_test(runner)

    @torch.no_grad()
    def after_test_iter(
        self,
        runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence[BaseDataElement] = (),
    ) -> None:
        """Draws one batch."""
        model = getattr(runner.model, 'module', runner.model)
        metainfo = runner.test_dataloader.dataset.metainfo
        inputs = model.data_preprocessor(data_batch, False)['inputs']
        for sample, views in zip(outputs, model.scale_views(inputs, outputs)):
            path = sample.metainfo['img_path']
            sheet = draw_attention_sheet(
                self.images.read(path),
                sample.pred_sem_seg.data[0].cpu().numpy(),
                [
                    ScaleView(
                        scale,
                        None if attention is None else attention.float().cpu().numpy(),
                        labels.cpu().numpy(),
                    )
                    for scale, attention, labels in views
                ],
                metainfo['palette'],
                metainfo['classes'],
                title=os.path.splitext(os.path.basename(path))[0],
            )
            self.write(path, sheet, option='--show-attention')

    def after_test(self, runner) -> None:
        """Says where the sheets are."""
        runner.logger.info(f'attention sheets are in {self.folder}')


def ignored_label(metrics: Sequence[BaseMetric]) -> int:
    """The label that metrics leave out; where they differ, that of the mean IoU."""
    iou = [one for one in metrics if isinstance(one, (IoUMetric, StockIoUMetric))]
    found = [getattr(one, 'ignore_index', None) for one in [*iou, *metrics]]
    return next((int(value) for value in found if value is not None), 255)
