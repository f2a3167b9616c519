"""inference/openseg_multi_scale.py: the four tests of openseg.pytorch, chosen by options."""

import pytest
import torch
from mmseg.structures import SegDataSample
from toy_segmentor import toy_segmentor

from openseg_plugin.errors import ConfigError
from openseg_plugin.inference.protocols import openseg_labels, openseg_multi_scale
from openseg_plugin.registry import MODELS

CROP = (16, 20)


def wrapped(model, **options):
    return MODELS.build(dict(type='openseg_plugin.OpenSegMultiScale', module=model, **options))


def one_image(size, *, original=None, **metainfo):
    generator = torch.Generator().manual_seed(5)
    image = torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator)
    sample = SegDataSample(metainfo=dict(ori_shape=original or size, img_shape=size, **metainfo))
    return dict(inputs=[[image]], data_samples=[[sample]])


def windows(size, **options):
    """(H, W) of everything that the network sees of an image."""
    model = toy_segmentor(align_corners=True)
    seen, decode = [], model.decode

    def watched(inputs):
        seen.append(tuple(inputs.shape[2:]))
        return decode(inputs)

    model.decode = watched
    wrapped(model, **options).test_step(one_image(size))
    return seen


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        pytest.param({}, [(24, 30)], id='ss_test'),
        pytest.param(dict(crop_size=CROP), [CROP] * 4, id='sscrop_test'),
        pytest.param(
            dict(scales=(0.5, 1.0, 1.75), flip=True),
            [(12, 15)] * 2 + [(24, 30)] * 2 + [(42, 52)] * 2,
            id='ms_test',
        ),
        # 42x52 takes 3 x 3 crops
        pytest.param(
            dict(scales=(0.5, 0.75, 1.0, 1.75), crop_size=CROP),
            [(12, 15), (18, 22)] + [CROP] * (4 + 9),
            id='mscrop_test: crops only from scale 1 on',
        ),
    ],
)
@torch.no_grad()
def test_options_choose_what_the_network_sees(options, expected):
    assert windows((24, 30), **options) == expected


@pytest.mark.parametrize('pairs', [(), [[1, 2]]])
@torch.no_grad()
def test_labels_are_those_of_the_protocol(pairs):
    model = toy_segmentor(align_corners=True, preprocessor=dict(test_cfg=dict(size_divisor=8)))
    options = dict(scales=(0.75, 1.0, 1.5), flip=True, crop_size=CROP)
    data = one_image((21, 35), original=(40, 66), flip_pairs=pairs)
    batch = {key: [value[0][0]] for key, value in data.items()}
    prepared = model.data_preprocessor(batch, False)
    logits = openseg_multi_scale(model.decode, prepared['inputs'], flip_pairs=pairs, **options)
    expected = openseg_labels(logits[0], border_size=(21, 35), output_size=(40, 66))
    (result,) = wrapped(model, **options).test_step(data)
    assert torch.equal(result.pred_sem_seg.data[0], expected)
    assert expected.unique().numel() > 1


@torch.no_grad()
def test_many_classes_keep_their_numbers():
    model = toy_segmentor(num_classes=171, align_corners=True)
    (result,) = wrapped(model).test_step(one_image((24, 32)))
    (plain,) = model.test_step({key: one[0] for key, one in one_image((24, 32)).items()})
    assert torch.equal(result.pred_sem_seg.data, plain.pred_sem_seg.data)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(scales=()), 'numbers above 0'),
        (dict(scales=(1.0, -1.0)), 'numbers above 0'),
        (dict(scales=(1.0, 2.0), scale_weights=(1.0,)), 'one weight per scale'),
    ],
)
def test_options_that_cannot_be_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        wrapped(toy_segmentor(), **options)


@torch.no_grad()
def test_one_channel_and_several_views_are_refused():
    with pytest.raises(ConfigError, match='MultiScaleFlip'):
        wrapped(toy_segmentor(num_classes=2, out_channels=1)).test_step(one_image((24, 30)))
    with pytest.raises(ConfigError, match='--scales 1'):
        wrapped(toy_segmentor()).test_step(dict(inputs=[[], []], data_samples=[[], []]))
