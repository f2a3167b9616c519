"""Heads that are shown the labels: for analysis, never for use.

Legend: N batch, (h, w) size of the labels, (H, W) size of a feature map.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor

from openseg_plugin.errors import ConfigError
from openseg_plugin.layers.oracle_context import true_regions


class GroundTruthMixin:
    """Put before a head; its ``forward`` reads the labels by :meth:`truth`."""

    _labels: Tensor | None = None

    @contextmanager
    def shown(self, labels: Tensor) -> Iterator[None]:
        """Inside, ``forward`` sees ``labels`` (N, h, w): class ids or ``ignore_index``."""
        self._labels = labels
        try:
            yield
        finally:
            self._labels = None

    def truth(self, size: Sequence[int], *, num_regions: int) -> Tensor:
        """The true regions (N, num_regions, H, W) at ``size`` (H, W).

        Raises:
            ConfigError: no labels are shown.
        """
        if self._labels is None:
            raise ConfigError(
                f'{type(self).__name__} was not shown any labels, but its context comes from them: '
                "use model.type='openseg_plugin.IdealEncoderDecoder' and a data set with labels."
            )
        return true_regions(self._labels, num_regions, size=size, ignore_index=self.ignore_index)
