"""How well a SegFix network finds boundaries and directions, over a data set.

Every picture leaves five integers, so processes add up exactly and mmengine drops the pictures
that a distributed sampler repeats to fill the last batch.
"""

from collections.abc import Sequence

import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger, print_log

from openseg_plugin.layers.boundary_counts import FIGURES, boundary_counts, boundary_figures
from openseg_plugin.registry import METRICS

_FIELDS = ('pred_boundary', 'pred_direction', 'gt_boundary', 'gt_direction')


@METRICS.register_module()
class SegFixMetric(BaseMetric):
    """Precision, recall and F-score of boundary pixels, accuracy of directions, in percent.

    ``boundary_f``, ``boundary_precision``, ``boundary_recall``; ``direction``: right directions on
    the boundary of the ground truth; ``direction_predicted``: on the predicted boundary, whose
    pixels will be moved.

    Args:
        ignore_index: value of targets that is left out.
        collect_device: how processes exchange their records: 'gpu' by messages (also without a
            GPU), 'cpu' by files in the current folder, which all machines have to share.
        prefix: put before the names of the figures.
    """

    default_prefix = ''

    def __init__(
        self, ignore_index: int = 255, collect_device: str = 'gpu', prefix: str | None = None
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.ignore_index = ignore_index

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """One record per picture: (5,) counts, None without targets."""
        for sample in data_samples:
            record = None
            if 'gt_boundary' in sample:
                maps = (sample[name]['data'].cpu() for name in _FIELDS)
                record = boundary_counts(*maps, ignore_index=self.ignore_index).numpy()
            self.results.append((record,))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Figures in percent of the records of all processes."""
        records = [torch.from_numpy(record) for (record,) in results if record is not None]
        if not records:
            logger = MMLogger.get_current_instance()
            print_log(f'{len(results)} pictures, none has targets: no figures', logger)
            return {}
        figures = 100 * boundary_figures(torch.stack(records).sum(dim=0))
        return {name: round(float(value), 2) for name, value in zip(FIGURES, figures)}
