"""Last transform of a pipeline: mmseg's packing, and what our preprocessor needs of a sample."""

from mmseg.datasets.transforms import PackSegInputs as MMSegPackSegInputs

from openseg_plugin.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PackSegInputs(MMSegPackSegInputs):
    """mmseg's packing; pad_offset, where the sample has one, is always among its metainfo.

    So the padding of :class:`openseg_plugin.RandomCrop` lies where it was drawn, whatever
    ``meta_keys`` says. Arguments are mmseg's.
    """

    def transform(self, results: dict) -> dict:
        """Sample for the model: inputs (C, H, W), data_samples with gt_sem_seg and metainfo."""
        packed = super().transform(results)
        if 'pad_offset' in results:
            packed['data_samples'].set_metainfo({'pad_offset': results['pad_offset']})
        return packed
