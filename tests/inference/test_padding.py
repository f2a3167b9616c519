"""Test-time padding: what it adds never shows, and predictions are cut before they are resized.

Images of 21x27 pixels are padded to 24x32. The network says where its pixels are: class 1 beyond
row or column 9.5, class 2 on padding, where its inputs are 0 in all channels.
"""

import numpy as np
import pytest
import torch
from in_one_test import in_one_test
from mmengine.registry import init_default_scope
from mmseg.registry import TRANSFORMS
from mmseg.structures import SegDataSample
from toy_segmentor import toy_segmentor

from openseg_plugin.registry import MODELS

SIZE = (21, 27)
PAD = dict(size_divisor=8)
ROWS, COLUMNS = 0, 1


def places(axis, *, pad=True):
    """A segmentor whose logits are those of the head of this file."""
    preprocessor = dict(test_cfg=PAD) if pad else None
    model = toy_segmentor(num_classes=3, align_corners=True, preprocessor=preprocessor)
    model.seen = []

    def decode(inputs):
        model.seen.append(tuple(inputs.shape[2:]))
        logits = inputs.new_zeros((1, 3, *inputs.shape[2:]))
        index = torch.arange(inputs.shape[2 + axis], dtype=inputs.dtype)
        logits[:, 1] = (index[:, None] if axis == ROWS else index[None]) - 9.5
        logits[:, 2] = torch.where(inputs.abs().sum(1) == 0, 1000.0, -1000.0)
        return logits

    model.decode = decode
    return model


def image():
    return np.full((*SIZE, 3), 255, np.uint8)


def one_view(ratios=(1.0,), *, original):
    init_default_scope('mmseg')
    views = TRANSFORMS.build(dict(type='openseg_plugin.MultiScaleViews', ratios=ratios))
    pack = TRANSFORMS.build(dict(type='openseg_plugin.PackMultiScaleInputs'))
    packed = pack(views(dict(img=image(), img_path='a.png', ori_shape=original)))
    return {key: [[one] for one in value] for key, value in packed.items()}


def plain(model, original):
    sample = SegDataSample(metainfo=dict(ori_shape=original, img_shape=SIZE))
    data = dict(inputs=[torch.from_numpy(image()).permute(2, 0, 1)], data_samples=[sample])
    return model.test_step(data)[0].pred_sem_seg.data[0]


def augmented(model, original, **options):
    options = dict(dict(type='openseg_plugin.MultiScaleFlip', flip=False), **options)
    tta = MODELS.build(dict(module=model, **options))
    return tta.test_step(one_view(original=original))[0].pred_sem_seg.data[0]


# original size 42x54: output row r is input row r * 20 / 41 and output column c is input column
# c * 26 / 53 (aligned corners), or r / 2 - 1 / 4 and c / 2 - 1 / 4 (cubic); were the padding still
# there, 9.5 would lie before output row 17 and output column 17
@in_one_test(
    ('axis', 'original', 'first'),
    [
        (ROWS, SIZE, 10),
        (COLUMNS, SIZE, 10),
        (ROWS, (42, 54), 20),
        (COLUMNS, (42, 54), 20),
    ],
)
@in_one_test(
    'predict',
    [
        pytest.param(plain, id='single scale'),
        pytest.param(augmented, id='augmented'),
        pytest.param(
            lambda model, original: augmented(
                model, original, type='openseg_plugin.OpenSegMultiScale'
            ),
            id='openseg',
        ),
    ],
)
def test_prediction_is_cut_to_the_image_before_it_is_resized(predict, axis, original, first):
    model = places(axis)
    labels = predict(model, original)
    assert model.seen == [(24, 32)]
    expected = torch.zeros(original, dtype=torch.int64)
    expected[(slice(first, None), slice(None)) if axis == ROWS else (..., slice(first, None))] = 1
    assert torch.equal(labels, expected)


@pytest.mark.parametrize('merge', ['softmax', 'logits', 'exp'])
def test_mirrored_views_and_scales_never_show_the_padding(merge):
    model = places(COLUMNS)
    tta = MODELS.build(
        dict(type='openseg_plugin.MultiScaleFlip', module=model, merge=merge, flip=True)
    )
    data = one_view((0.5, 1.0, 1.3), original=SIZE)
    labels = tta.test_step(data)[0].pred_sem_seg.data[0]
    assert model.seen == [(16, 16)] * 2 + [(24, 32)] * 2 + [(32, 40)] * 2
    assert labels.shape == SIZE
    assert not (labels == 2).any()


def test_openseg_scales_the_padded_image():
    model = places(COLUMNS)
    labels = augmented(
        model, SIZE, type='openseg_plugin.OpenSegMultiScale', scales=(0.5, 1.25), flip=True
    )
    assert model.seen == [(12, 16)] * 2 + [(30, 40)] * 2
    assert labels.shape == SIZE
    assert not (labels == 2).any()


@pytest.mark.parametrize('kind', ['MultiScaleFlip', 'OpenSegMultiScale'])
def test_size_divisor_of_the_augmented_test_pads_that_test_only(kind):
    model = places(COLUMNS, pad=False)
    plain(model, SIZE)
    augmented(model, SIZE, type=f'openseg_plugin.{kind}', size_divisor=8)
    assert model.seen == [SIZE, (24, 32)]
