"""The confusion matrix of every validation, and a few fixed images of it for TensorBoard.

``curves.png`` in the work folder, kept up to date while training.
"""

import csv
import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.dist import all_reduce, get_rank, get_world_size, is_main_process, master_only
from mmengine.hooks import Hook
from mmengine.structures import BaseDataElement
from mmengine.visualization.vis_backend import BaseVisBackend, MLflowVisBackend

from openseg_plugin.engine.hooks.visualization import TestedImages, ignored_label
from openseg_plugin.errors import ConfigError
from openseg_plugin.evaluation.confusion import confusion_matrix
from openseg_plugin.registry import HOOKS
from openseg_plugin.report import CURVES
from openseg_plugin.report.charts import draw_confusion
from openseg_plugin.report.curves import read_run, write_png
from openseg_plugin.report.panel import draw_panel
from openseg_plugin.report.results import confusion_rows
from openseg_plugin.utils.palette import distinct_colors

_IMAGE_BACKENDS = ('TensorboardVisBackend', 'WandbVisBackend', 'MLflowVisBackend')


@HOOKS.register_module()
class ConfusionHook(Hook):
    """Writes the matrix of every validation below the log folder of the run.

    ``vis_data/confusion_<iteration>.csv`` and ``vis_data/confusion_<iteration>.png``;
    TensorBoard and its like get the image too, and the same few validation images each time, read
    as the pipeline reads them; one that cannot be drawn costs a warning, never the training.

    Args:
        num_images: validation images for TensorBoard, spread over the set; 0: none.

    Raises:
        ConfigError: ``num_images`` is below 0.
    """

    def __init__(self, *, num_images: int = 4) -> None:
        if num_images < 0:
            raise ConfigError(f'ConfusionHook.num_images is {num_images}: give 0 or more')
        self.num_images = num_images
        self._matrix: np.ndarray | None = None
        self._seen = 0
        self._ignored = 255

    def before_val_epoch(self, runner) -> None:
        """Begins at zero."""
        number = len(runner.val_dataloader.dataset.metainfo.get('classes') or ())
        self._matrix = np.zeros((number, number + 1), np.int64) if number else None
        self._seen = 0
        length = len(runner.val_dataloader.dataset)
        self._shown = set(np.linspace(0, length - 1, self.num_images).astype(int).tolist())
        evaluator = getattr(runner.val_loop, 'evaluator', None)  # other people's loops have none
        self._ignored = ignored_label(getattr(evaluator, 'metrics', ()))

    def after_val_iter(
        self,
        runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence[BaseDataElement] | None = None,
    ) -> None:
        """Counts one batch."""
        for sample in outputs or ():
            position = get_rank() + self._seen * get_world_size()
            self._seen += 1
            # several processes: images that are repeated to fill the last batch come last
            repeated = position >= len(runner.val_dataloader.dataset)
            if self._matrix is None or repeated or not _is_labelled(sample):
                continue
            self._matrix += confusion_matrix(
                sample.pred_sem_seg.data[0],
                sample.gt_sem_seg.data[0],
                num_classes=len(self._matrix),
                ignore_index=self._ignored,
            )
            if position in self._shown:
                self._show(runner, sample, position)

    def after_val_epoch(self, runner, metrics: dict[str, float] | None = None) -> None:
        """Adds up the counts of all processes and writes them."""
        if self._matrix is None:
            return
        total = torch.from_numpy(self._matrix)
        all_reduce(total)
        self._matrix = None
        if not is_main_process() or not total.any():
            return
        classes, step = runner.val_dataloader.dataset.metainfo['classes'], runner.iter
        folder = Path(runner.log_dir) / 'vis_data'
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / f'confusion_{step}.csv', 'w', newline='', encoding='utf-8') as file:
            csv.writer(file, lineterminator='\n').writerows(confusion_rows(classes, total.numpy()))
        image = draw_confusion(total.numpy(), classes, title=f'iteration {step}')
        cv2.imwrite(os.fspath(folder / f'confusion_{step}.png'), image[:, :, ::-1])
        for backend in _image_backends(runner):
            _add_image(backend, 'confusion', image, step)

    def _show(self, runner, sample: BaseDataElement, position: int) -> None:
        backends = _image_backends(runner)
        if not backends or not is_main_process():
            return
        path, dataset = sample.metainfo['img_path'], runner.val_dataloader.dataset
        try:
            image = TestedImages(dataset).read(path)
        except Exception as error:  # of whatever reads somebody's images
            runner.logger.warning(f'{path} was not drawn: {error}')
            return
        label = sample.gt_sem_seg.data[0].cpu().numpy()
        if image.shape[:2] != label.shape:
            return
        metainfo = dataset.metainfo
        panel = draw_panel(
            image,
            label,
            sample.pred_sem_seg.data[0].cpu().numpy(),
            metainfo.get('palette') or distinct_colors(len(metainfo['classes'])),
            metainfo['classes'],
            ignore_index=self._ignored,
        )
        for backend in backends:
            _add_image(backend, f'validation/{position}', panel, runner.iter)


def _is_labelled(sample: BaseDataElement) -> bool:
    return 'gt_sem_seg' in sample and 'pred_sem_seg' in sample


def _add_image(backend: BaseVisBackend, name: str, image: np.ndarray, step: int) -> None:
    """Of MLflow the name is that of a file, whose ending says the format."""
    if isinstance(backend, MLflowVisBackend):
        name = f'{name}_{step}.png'
    backend.add_image(name, image, step)


def _image_backends(runner) -> list[BaseVisBackend]:
    """Those of the visualizer that show images, such as TensorBoard's."""
    backends = (runner.visualizer.get_backend(name) for name in _IMAGE_BACKENDS)
    return [backend for backend in backends if backend is not None]


@HOOKS.register_module()
class CurvesHook(Hook):
    """Draws the scalars of the run so far after every validation and at the end.

    A drawing that fails costs a warning, never the training. A training that ends with a validation
    is drawn once there, not twice.
    """

    priority = 'VERY_LOW'  # after the logger has written the validation's metrics
    _drawn = -1  # iteration

    def after_val_epoch(self, runner, metrics: dict[str, float] | None = None) -> None:
        """Draws."""
        self._draw(runner)

    def after_train(self, runner) -> None:
        """Draws."""
        self._draw(runner)

    @master_only
    def _draw(self, runner) -> None:
        if self._drawn == runner.iter:
            return
        folder = Path(runner.work_dir)
        try:
            write_png(folder / CURVES, [read_run(folder)])
            self._drawn = runner.iter
        except Exception as error:
            runner.logger.warning(f'{folder / CURVES} was not drawn: {error}')
