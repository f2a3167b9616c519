"""inference/views.py: the bytes that mmseg's TestTimeAug makes, from one decode."""

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmseg.registry import TRANSFORMS
from PIL import Image
from toy_segmentor import image

from openseg_plugin.errors import ConfigError

RATIOS = (0.5, 0.75, 1.0, 1.3, 1.75)


@pytest.fixture(autouse=True)
def mmseg_scope():
    init_default_scope('mmseg')


def build(**options):
    views = TRANSFORMS.build(dict(type='openseg_plugin.MultiScaleViews', **options))
    return views, TRANSFORMS.build(dict(type='openseg_plugin.PackMultiScaleInputs'))


def packed(results, **options):
    views, pack = build(**options)
    return pack(views(results))


def stock(results, resizes):
    return TRANSFORMS.build(
        dict(
            type='TestTimeAug',
            transforms=[
                [dict(type='Resize', keep_ratio=True, **resize) for resize in resizes],
                [dict(type='RandomFlip', prob=p, direction='horizontal') for p in (0.0, 1.0)],
                [dict(type='LoadAnnotations')],
                [dict(type='PackSegInputs')],
            ],
        )
    )(results)


@pytest.fixture
def sample(tmp_path):
    label = tmp_path / 'label.png'
    Image.fromarray(np.random.randint(0, 5, (45, 61), np.uint8)).save(label)
    return dict(
        img=image(),
        img_path='a.png',
        seg_map_path=str(label),
        ori_shape=(45, 61),
        img_shape=(45, 61),
        reduce_zero_label=False,
        seg_fields=[],
    )


@pytest.mark.parametrize('scale', [None, (80, 40)])
def test_views_are_the_bytes_of_test_time_aug(sample, scale):
    resizes = [
        dict(scale_factor=r) if scale is None else dict(scale=tuple(int(s * r) for s in scale))
        for r in RATIOS
    ]
    expected = stock(dict(sample), resizes)
    got = packed({**sample, 'gt_seg_map': np.zeros((45, 61), np.uint8)}, ratios=RATIOS, scale=scale)
    assert len(got['inputs']) == len(RATIOS)
    for k, view in enumerate(got['inputs']):
        assert view.is_contiguous()
        assert torch.equal(view, expected['inputs'][2 * k])
        assert torch.equal(view.flip(-1), expected['inputs'][2 * k + 1])
        ours, theirs = got['data_samples'][k], expected['data_samples'][2 * k]
        for key in ('ori_shape', 'img_shape', 'scale_factor', 'img_path', 'seg_map_path'):
            assert ours.metainfo[key] == theirs.metainfo[key]


def test_pack_gives_the_label_once_and_the_pairs_to_every_view(sample):
    label = np.random.randint(0, 5, (45, 61), np.uint8)
    sample.update(gt_seg_map=label, flip_pairs=[[1, 2]])
    samples = packed(sample, ratios=(1.0, 2.0))['data_samples']
    assert np.array_equal(samples[0].gt_sem_seg.data[0].numpy(), label)
    assert samples[0].gt_sem_seg.data.dtype == torch.uint8
    assert 'gt_sem_seg' not in samples[1]
    assert [s.metainfo['flip_pairs'] for s in samples] == [[[1, 2]]] * 2


def test_pack_without_a_label_makes_samples_without_one(sample):
    samples = packed(sample, ratios=(1.0,))['data_samples']
    assert 'gt_sem_seg' not in samples[0]


@pytest.mark.parametrize('ratios', [(), (1.0, 0.0)])
def test_views_with_useless_ratios_are_refused(ratios):
    with pytest.raises(ConfigError, match='numbers above 0'):
        build(ratios=ratios)
