"""What the test protocols of other projects share: they get one view and scale it themselves."""

from mmengine.model import BaseTTAModel
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor

from openseg_plugin.errors import ConfigError


class OneViewModel(BaseTTAModel):
    """Predicts every picture from its one view by :meth:`labels`.

    Expects the pipeline ``MultiScaleViews`` with the one ratio 1, and ``PackMultiScaleInputs``.
    """

    def test_step(self, data: dict) -> list[SegDataSample]:
        """Predictions of a batch.

        Args:
            data: ``inputs[0][picture]`` (3, h, w) and ``data_samples`` in the same order.

        Returns:
            The samples with ``pred_sem_seg`` (1, H, W) int64.

        Raises:
            ConfigError: there is more than one view of a picture.
        """
        if len(data['inputs']) != 1:
            raise ConfigError(
                f'{type(self).__name__} got {len(data["inputs"])} views of a picture, but makes '
                'the scales itself: use openseg_plugin.MultiScaleViews with ratios=(1.0,) in '
                'tta_pipeline, or tools/test.py --scales 1'
            )
        return list(map(self._predict, data['inputs'][0], data['data_samples'][0]))

    def merge_preds(self, data_samples_list: list) -> list:
        """Not used: scales are merged as they come."""
        raise NotImplementedError(f'{type(self).__name__} merges inside test_step')

    def labels(self, inputs: Tensor, metainfo: dict) -> Tensor:
        """Labels (1, H, W) int64 at the original size.

        Args:
            inputs: (1, 3, h, w), normalised and padded.
            metainfo: of its sample.
        """
        raise NotImplementedError

    def _predict(self, picture: Tensor, sample: SegDataSample) -> SegDataSample:
        batch = {'inputs': [picture], 'data_samples': [sample]}
        batch = self.module.data_preprocessor(batch, False)
        sample = batch['data_samples'][0]
        labels = self.labels(batch['inputs'], sample.metainfo)
        sample.set_data({'pred_sem_seg': PixelData(data=labels)})
        return sample
