"""Test-time augmentation of any segmentor: scales from the pipeline, mirrored views made here.

Every view is predicted, added to one running sum and forgotten. Classes that name a side ("left
arm") change places in a mirrored view; one-channel models are merged as probabilities, once.
"""

from collections.abc import Iterator

import torch
from mmengine.model import BaseTTAModel
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from openseg_plugin.errors import ConfigError
from openseg_plugin.inference.merging import RULES, RunningMerge, View
from openseg_plugin.models.segmentors.encoder_decoder import geometry_of
from openseg_plugin.registry import MODELS


@MODELS.register_module()
class MultiScaleFlip(BaseTTAModel):
    """Predicts a picture from all its views.

    Expects the pipeline ``MultiScaleViews`` + ``PackMultiScaleInputs``; with ``flip=False`` also
    mmseg's ``TestTimeAug``, whose views may be mirrored already.

    Args:
        module: the segmentor or its config. mmseg's segmentors work too.
        merge: 'softmax', 'logits' or 'exp', see :mod:`openseg_plugin.inference.merging`.
        flip: also predict every view mirrored left to right.
        size_divisor: pad every view at the right and the bottom to a multiple of it; predictions
            are cut back. None: as the module's data preprocessor says.
        data_preprocessor: put into the config of ``module``.

    Raises:
        ConfigError: unknown ``merge``.
    """

    def __init__(
        self,
        module: dict | nn.Module,
        *,
        merge: str = 'softmax',
        flip: bool = True,
        size_divisor: int | None = None,
        data_preprocessor: dict | None = None,
    ) -> None:
        super().__init__(module, data_preprocessor=data_preprocessor)
        if merge not in RULES:
            raise ConfigError(f"tta_model.merge is '{merge}': choose from {', '.join(RULES)}")
        pad_views(self.module, size_divisor)
        self.merge = merge
        self.flip = flip

    def test_step(self, data: dict) -> list[SegDataSample]:
        """Merged predictions of a batch.

        Args:
            data: ``inputs[scale][picture]`` (3, h, w) and ``data_samples`` in the same order.

        Returns:
            The first scale's samples with ``pred_sem_seg`` (1, H, W) int64.
        """
        pictures = zip(zip(*data['inputs']), zip(*data['data_samples']))
        return [self._predict(views, samples) for views, samples in pictures]

    def merge_preds(self, data_samples_list: list) -> list:
        """Not used: views are merged as they come."""
        raise NotImplementedError('MultiScaleFlip merges inside test_step')

    def _predict(
        self, pictures: tuple[Tensor, ...], samples: tuple[SegDataSample, ...]
    ) -> SegDataSample:
        merged = RunningMerge(self.merge, align_corners=self.module.align_corners)
        for picture, sample in zip(pictures, samples):
            merged.add(self._views(picture, sample.metainfo))
        labels = merged.labels(threshold=threshold_of(self.module))
        result = samples[0].to(labels.device)
        result.set_data({'pred_sem_seg': PixelData(data=labels[None])})
        return result

    def _views(self, picture: Tensor, metainfo: dict) -> Iterator[View]:
        """The views of one scale, each predicted when it is asked for."""
        if metainfo.get('flip') and self.flip:
            raise ConfigError(
                'the tta_pipeline mirrors the pictures already: use '
                'openseg_plugin.MultiScaleViews there, or tta_model.flip=False'
            )
        flip = metainfo.get('flip_direction', 'horizontal') if metainfo.get('flip') else None
        yield self._view(picture, metainfo, flip)
        if self.flip:
            yield self._view(picture.flip(-1), metainfo, 'horizontal')

    def _view(self, picture: Tensor, metainfo: dict, flip: str | None) -> View:
        """Scores (1, K, h, w) of one view and where they belong on the original picture."""
        sample = SegDataSample(
            metainfo={**metainfo, 'flip': flip is not None, 'flip_direction': flip}
        )
        data = self.module.data_preprocessor({'inputs': [picture], 'data_samples': [sample]}, False)
        inputs, metainfo = data['inputs'], data['data_samples'][0].metainfo
        if hasattr(self.module, 'scores'):
            scores = self.module.scores(inputs)
        else:  # a segmentor of mmseg
            scores = self.module.inference(inputs, [dict(metainfo)])
        if flip == 'horizontal':
            scores = swapped(scores, metainfo.get('flip_pairs') or ())
        return scores, geometry_of(metainfo, inputs.shape[2:])


def pad_views(segmentor: nn.Module, size_divisor: int | None) -> None:
    """Lets the segmentor's data preprocessor pad test pictures to a multiple; None: as it is."""
    if size_divisor is not None:
        segmentor.data_preprocessor.test_cfg = {'size_divisor': size_divisor}


def swapped(scores: Tensor, pairs: list[list[int]]) -> Tensor:
    """Scores (N, K, h, w) with the two classes of every pair exchanged."""
    if not pairs or scores.shape[1] == 1:
        return scores
    order = list(range(scores.shape[1]))
    for left, right in pairs:
        order[left], order[right] = order[right], order[left]
    return scores[:, torch.tensor(order, device=scores.device)]


def threshold_of(segmentor: nn.Module) -> float | None:
    """Probability above which the last decode head of a one-channel model says class 1."""
    head = segmentor.decode_head
    return (head[-1] if isinstance(head, nn.ModuleList) else head).threshold
