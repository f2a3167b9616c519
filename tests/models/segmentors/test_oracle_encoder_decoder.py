"""A segmentor whose head sees the labels."""

import pytest
import torch
from head_contract import labelled_samples
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from mmseg.structures import SegDataSample
from toy_segmentor import segmentor_config

from openseg_plugin.errors import ConfigError
from openseg_plugin.registry import MODELS

IMAGES = (2, 3, 32, 48)


def build(**changes):
    init_default_scope('mmseg')
    config = segmentor_config('openseg_plugin.OracleEncoderDecoder')
    config['decode_head'] = dict(
        type='openseg_plugin.OracleOCRHead',
        num_classes=5,
        in_channels=4,
        in_index=0,
        channels=8,
        key_channels=4,
        region=dict(channels=6),
    )
    return MODELS.build(ConfigDict(config | changes)).eval()


def test_loss_and_prediction_see_the_labels_and_forget_them():
    model = build()
    images, samples = torch.randn(IMAGES), labelled_samples(5)
    assert set(model.loss(images, samples)) == {
        'decode.loss_ce',
        'decode.region.loss_ce',
        'decode.acc_seg',
    }
    predicted = model.predict(images, samples)
    assert [tuple(sample.pred_sem_seg.shape) for sample in predicted] == [(32, 48)] * 2
    with pytest.raises(ConfigError, match=r'model\.type=.*OracleEncoderDecoder'):
        model.decode(images)


def test_prediction_depends_on_the_labels():
    model = build(test_cfg=dict(mode='whole'))
    images = torch.randn(IMAGES)
    logits = []
    for border in (12, 36):  # two regions; which classes they are does not matter
        samples = labelled_samples(5)
        for sample in samples:
            sample.gt_sem_seg.data[:] = 0
            sample.gt_sem_seg.data[..., border:] = 1
        logits.append(model.predict(images, samples)[0].seg_logits.data)
    assert (logits[0] - logits[1]).abs().max() > 1e-6


@pytest.mark.parametrize('samples', [None, [SegDataSample(), SegDataSample()]])
def test_images_without_labels_are_refused(samples):
    with pytest.raises(ConfigError, match='without labels'):
        build().predict(torch.randn(IMAGES), samples)


@pytest.mark.parametrize(
    'changes',
    [
        dict(test_cfg=dict(mode='slide', crop_size=(16, 16), stride=(8, 8))),
        dict(decode_head=segmentor_config()['decode_head']),
    ],
    ids=['slide', 'plain-head'],
)
def test_what_cannot_be_shown_labels_is_refused(changes):
    with pytest.raises(ConfigError, match='OracleEncoderDecoder got a'):
        build(**changes)
