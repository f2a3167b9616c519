"""Pictures of predictions: image, ground truth, prediction and errors side by side."""

import os
from collections.abc import Sequence

import cv2
from mmengine.hooks import Hook
from mmengine.structures import BaseDataElement

from openseg_plugin.errors import ConfigError
from openseg_plugin.registry import HOOKS
from openseg_plugin.report.overlay import draw_panel


@HOOKS.register_module()
class OverlayHook(Hook):
    """Writes one panel per tested picture: ``folder/<stem>.jpg``.

    Args:
        folder: made if it is not there.
        ignore_index: label value that is left out.
    """

    def __init__(self, folder: str, *, ignore_index: int = 255) -> None:
        self.folder = folder
        self.ignore_index = ignore_index

    def before_test(self, runner) -> None:
        """Makes the folder."""
        os.makedirs(self.folder, exist_ok=True)

    def after_test_iter(
        self,
        runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence[BaseDataElement] | None = None,
    ) -> None:
        """Draws the predictions of one batch."""
        metainfo = runner.test_dataloader.dataset.metainfo
        for sample in outputs:
            path = sample.metainfo['img_path']
            image = cv2.imread(path, cv2.IMREAD_COLOR)
            label = None
            if 'gt_sem_seg' in sample:
                label = sample.gt_sem_seg.data[0].cpu().numpy()
            before = None
            if 'pred_before_segfix' in sample:
                before = sample.pred_before_segfix.data[0].cpu().numpy()
            stem = os.path.splitext(os.path.basename(path))[0]
            panel = draw_panel(
                cv2.cvtColor(image, cv2.COLOR_BGR2RGB),
                label,
                sample.pred_sem_seg.data[0].cpu().numpy(),
                metainfo['palette'],
                metainfo['classes'],
                ignore_index=self.ignore_index,
                title=stem,
                before=before,
            )
            file = os.path.join(self.folder, f'{stem}.jpg')
            if not cv2.imwrite(file, cv2.cvtColor(panel, cv2.COLOR_RGB2BGR)):
                raise ConfigError(f'{file} cannot be written: give another --show-dir')

    def after_test(self, runner) -> None:
        """Says where the panels are."""
        runner.logger.info(f'pictures are in {self.folder}')
