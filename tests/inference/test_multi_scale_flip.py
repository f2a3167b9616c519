"""inference/multi_scale_flip.py and merging.py: the labels of keeping every view."""

import gc
import weakref

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from in_one_test import in_one_test
from mmengine.registry import init_default_scope
from mmseg.registry import TRANSFORMS
from toy_segmentor import image, toy_segmentor

from openseg_plugin.errors import ConfigError
from openseg_plugin.inference.multi_scale_flip import swapped
from openseg_plugin.layers.tiled_argmax import OutputGeometry, resize_to_original
from openseg_plugin.models.segmentors.encoder_decoder import geometry_of
from openseg_plugin.registry import MODELS

RATIOS = (0.5, 1.0, 1.6)
SLIDE = dict(mode='slide', crop_size=(32, 40), stride=(20, 27))
PAD = dict(test_cfg=dict(size_divisor=32))


def batch(images, *, ratios=RATIOS, **more):
    """What the pipeline and mmengine's pseudo_collate give for some images."""
    init_default_scope('mmseg')
    views = TRANSFORMS.build(dict(type='openseg_plugin.MultiScaleViews', ratios=ratios))
    pack = TRANSFORMS.build(dict(type='openseg_plugin.PackMultiScaleInputs'))
    packed = [
        pack(views(dict(img=image, img_path=f'{k}.png', ori_shape=image.shape[:2], **more)))
        for k, image in enumerate(images)
    ]
    return {key: [list(v) for v in zip(*(p[key] for p in packed))] for key in packed[0]}


def tta(module, **options):
    return MODELS.build(dict(type='openseg_plugin.MultiScaleFlip', module=module, **options))


def full_logits(model, image, meta, *, flipped):
    """Logits of a view at the original size, the plain way: everything at once."""
    from mmseg.structures import SegDataSample

    flip = dict(flip=flipped, flip_direction='horizontal')
    sample = SegDataSample(metainfo={**meta, **flip})
    image = image.flip(-1) if flipped else image
    data = model.data_preprocessor(dict(inputs=[image], data_samples=[sample]), False)
    inputs, sample = data['inputs'], data['data_samples'][0]
    logits = model.inference(inputs, [dict(sample.metainfo)])
    return logits, geometry_of(sample.metainfo, inputs.shape[2:])


def all_views(model, data, *, merge, flip=True, pairs=()):
    """Every view kept, then merged: (K, H, W) of the first image."""
    kept = []
    for images, samples in zip(data['inputs'], data['data_samples']):
        directions = []
        for flipped in (False, True)[: 1 + flip]:
            logits, geometry = full_logits(model, images[0], samples[0].metainfo, flipped=flipped)
            directions.append((swapped(logits, pairs if flipped else ()), geometry))
        kept.append(directions)
    align = model.align_corners
    if merge == 'exp':
        total = 0
        for directions in kept:
            own_size = [
                resize_to_original(
                    scores, OutputGeometry(g.input_size, g.padding, g.flip), align_corners=align
                )
                for scores, g in directions
            ]
            mean = own_size[0] if len(own_size) == 1 else (own_size[0] + own_size[1]) * 0.5
            final = directions[0][1].final_size
            exp = mean.exp()
            if exp.shape[2:] != final:
                exp = F.interpolate(exp, final, mode='bilinear', align_corners=align)
            total = total + exp[0]
        return total
    views = [
        resize_to_original(s, g, align_corners=align)[0]
        for directions in kept
        for s, g in directions
    ]
    if merge == 'logits':
        return sum(views)
    return sum(v.softmax(0) for v in views) / len(views)


@in_one_test('merge', ['softmax', 'logits', 'exp'])
@in_one_test('flip', [False, True])
@in_one_test(
    ('size', 'test_cfg', 'preprocessor'),
    [((45, 61), None, None), ((97, 150), SLIDE, None), ((140, 171), None, PAD)],
)
@torch.no_grad()
def test_test_step_gives_the_labels_of_keeping_every_view(
    merge, flip, size, test_cfg, preprocessor
):
    model = toy_segmentor(test_cfg=test_cfg, preprocessor=preprocessor, align_corners=flip)
    data = batch([image(*size), image(*size)[::-1].copy()])
    expected = all_views(model, data, merge=merge, flip=flip).argmax(0)
    results = tta(model, merge=merge, flip=flip).test_step(data)
    assert len(results) == 2
    assert results[0].pred_sem_seg.data.dtype == torch.int64
    assert torch.equal(results[0].pred_sem_seg.data[0], expected)
    assert results[1].metainfo['img_path'] == '1.png'
    assert expected.unique().numel() > 1


@torch.no_grad()
def test_test_step_with_softmax_gives_the_labels_of_mmsegs_model():
    init_default_scope('mmseg')
    model = toy_segmentor('mmseg.EncoderDecoder', test_cfg=dict(mode='whole'))
    pixels = image(80, 131)
    pipeline = TRANSFORMS.build(
        dict(
            type='TestTimeAug',
            transforms=[
                [dict(type='Resize', scale_factor=r, keep_ratio=True) for r in RATIOS],
                [dict(type='RandomFlip', prob=p) for p in (0.0, 1.0)],
                [dict(type='PackSegInputs')],
            ],
        )
    )
    stock_model = MODELS.build(dict(type='mmseg.SegTTAModel', module=model))
    expected = stock_model.test_step(collated(pipeline, pixels))[0].pred_sem_seg.data
    plugin = toy_segmentor()
    plugin.load_state_dict(model.state_dict())
    for segmentor in (model, plugin):
        got = tta(segmentor).test_step(batch([pixels]))[0].pred_sem_seg.data
        assert torch.equal(got, expected)
        # views that the pipeline has flipped
        got = tta(segmentor, flip=False).test_step(collated(pipeline, pixels))[0].pred_sem_seg.data
        assert torch.equal(got, expected)
    with pytest.raises(ConfigError, match=r'tta_model\.flip=False'):
        tta(plugin).test_step(collated(pipeline, pixels))


def collated(pipeline, image):
    views = pipeline(dict(img=image, img_path='0.png', ori_shape=image.shape[:2]))
    return {key: [[one] for one in value] for key, value in views.items()}


@pytest.mark.parametrize('merge', ['softmax', 'logits', 'exp'])
@torch.no_grad()
def test_test_step_swaps_left_and_right_classes(merge):
    model = toy_segmentor()
    pairs = [[0, 3], [2, 4]]
    data = batch([image()], flip_pairs=pairs)
    expected = all_views(model, data, merge=merge, pairs=pairs).argmax(0)
    got = tta(model, merge=merge).test_step(data)[0].pred_sem_seg.data[0]
    assert torch.equal(got, expected)
    plain = tta(model, merge=merge).test_step(batch([image()]))[0].pred_sem_seg.data[0]
    assert not torch.equal(got, plain)


class Sided(torch.nn.Module):
    """Says 'left' (class 1) on the left half of what it sees and 'right' (2) on the right half."""

    align_corners = False

    def __init__(self, model):
        super().__init__()
        self.data_preprocessor, self.decode_head = model.data_preprocessor, model.decode_head

    def test_step(self, data):
        raise NotImplementedError

    def scores(self, inputs):
        middle = inputs.shape[3] // 2
        scores = inputs.new_zeros((1, 3, *inputs.shape[2:]))
        scores[:, 1, :, :middle] = 1
        scores[:, 2, :, middle:] = 1
        return scores


def test_test_step_of_a_sided_model_is_undecided_only_without_pairs():
    module = Sided(toy_segmentor())
    data = batch([image(40, 64)], ratios=(1.0,), flip_pairs=[[1, 2]])
    with_pairs = tta(module).test_step(data)[0].pred_sem_seg.data[0]
    assert torch.equal(with_pairs[:, :32].unique(), torch.tensor([1]))
    assert torch.equal(with_pairs[:, 32:].unique(), torch.tensor([2]))
    without = tta(module).test_step(batch([image(40, 64)], ratios=(1.0,)))[0]
    assert torch.equal(without.pred_sem_seg.data[0].unique(), torch.tensor([1]))


@in_one_test(('logit', 'expected'), [(-6.0, 0), (6.0, 1)])
@in_one_test('merge', ['softmax', 'logits', 'exp'])
@torch.no_grad()
def test_test_step_of_a_binary_model_applies_sigmoid_once(merge, logit, expected):
    model = toy_segmentor(num_classes=2, out_channels=1)
    torch.nn.init.zeros_(model.decode_head.conv_seg.weight)
    torch.nn.init.constant_(model.decode_head.conv_seg.bias, logit)
    labels = tta(model, merge=merge).test_step(batch([image()]))[0].pred_sem_seg.data
    assert torch.equal(labels, torch.full((1, 45, 61), expected))


@torch.no_grad()
def test_test_step_of_a_binary_model_is_the_mean_probability_over_its_threshold():
    model = toy_segmentor(num_classes=2, out_channels=1)
    model.decode_head.threshold = 0.4
    data = batch([image()])
    views = []
    for images, samples in zip(data['inputs'], data['data_samples']):
        for flipped in (False, True):
            logits, geometry = full_logits(model, images[0], samples[0].metainfo, flipped=flipped)
            views.append(resize_to_original(logits, geometry, align_corners=False)[0, 0].sigmoid())
    expected = (sum(views) / len(views) > 0.4).long()
    assert 0 < expected.float().mean() < 1
    got = tta(model).test_step(data)[0].pred_sem_seg.data[0]
    assert (got != expected).float().mean() < 1e-3


@torch.no_grad()
def test_test_step_never_keeps_more_than_two_views(monkeypatch):
    model = toy_segmentor()
    alive, most = [], 0
    plain = type(model).scores

    def counted(self, inputs):
        nonlocal most
        scores = plain(self, inputs)
        alive.append(weakref.ref(scores))
        gc.collect()
        most = max(most, sum(ref() is not None for ref in alive))
        return scores

    monkeypatch.setattr(type(model), 'scores', counted)
    tta(model).test_step(batch([image()], ratios=(0.5, 0.75, 1.0, 1.25, 1.5)))
    assert len(alive) == 10
    assert most == 2


def test_build_with_an_unknown_rule_is_refused():
    with pytest.raises(ConfigError, match='softmax, logits, exp'):
        tta(toy_segmentor(), merge='mean')


def test_swapped_without_pairs_is_the_same_tensor():
    scores = torch.randn(1, 3, 2, 2)
    assert swapped(scores, ()) is scores
    assert np.array_equal(swapped(scores, [[0, 2]])[0, 0], scores[0, 2])
