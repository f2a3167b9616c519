"""models/segmentors/encoder_decoder.py: mmseg's predictions, binary heads, BatchNorm on a CPU."""

import copy
import logging
import pickle

import pytest
import torch
from in_one_test import in_one_test
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from mmseg.structures import SegDataSample
from toy_segmentor import toy_segmentor

from openseg_plugin.models.segmentors import encoder_decoder
from openseg_plugin.models.segmentors.encoder_decoder import EncoderDecoder, without_sync_bn
from openseg_plugin.registry import MODELS

SLIDE = dict(mode='slide', crop_size=(32, 40), stride=(20, 27))


def samples(size, *, padding=(0, 0, 0, 0), ori_shape=None):
    """One sample as it is and one that the network saw flipped."""
    left, right, top, bottom = padding
    image = (size[0] - top - bottom, size[1] - left - right)
    result = []
    for flip, direction in ((False, None), (True, 'horizontal'), (True, 'vertical')):
        sample = SegDataSample()
        sample.set_metainfo(
            dict(
                ori_shape=ori_shape or image,
                img_shape=image,
                pad_shape=size,
                img_padding_size=padding,
                flip=flip,
                flip_direction=direction,
            )
        )
        result.append(sample)
    return result


@in_one_test('align_corners', [False, True])
@in_one_test('mode', ['whole', 'slide'])
@in_one_test('ori_shape', [None, (133, 170)])
@in_one_test('padding', [(0, 0, 0, 0), (0, 3, 0, 7)])
@torch.no_grad()
def test_predict_gives_mmsegs_labels_and_logits(align_corners, mode, ori_shape, padding):
    test_cfg = SLIDE if mode == 'slide' else dict(mode='whole')
    options = dict(align_corners=align_corners, test_cfg=test_cfg)
    ours, stock = toy_segmentor(**options), toy_segmentor('mmseg.EncoderDecoder', **options)
    stock.load_state_dict(ours.state_dict())
    inputs = torch.randn(3, 3, 97, 131)
    expected = stock.predict(inputs, samples((97, 131), padding=padding, ori_shape=ori_shape))
    got = ours.predict(inputs, samples((97, 131), padding=padding, ori_shape=ori_shape))
    for one, other in zip(got, expected):
        assert one.pred_sem_seg.data.dtype == torch.int64
        assert torch.equal(one.pred_sem_seg.data, other.pred_sem_seg.data)
        assert torch.equal(one.seg_logits.data, other.seg_logits.data)
    without_samples = ours.predict(inputs)
    assert torch.equal(
        without_samples[2].pred_sem_seg.data, stock.predict(inputs)[2].pred_sem_seg.data
    )


@torch.no_grad()
def test_predict_computes_full_size_logits_only_when_they_are_read(monkeypatch):
    model, computed = toy_segmentor(), []
    full_size = encoder_decoder.resize_to_original

    def counted(*arguments, **options):
        computed.append(1)
        return full_size(*arguments, **options)

    monkeypatch.setattr(encoder_decoder, 'resize_to_original', counted)
    (sample,) = model.predict(torch.randn(1, 3, 32, 40))
    as_dict = sample.to_dict()  # what mmengine's evaluator hands to metrics
    assert not computed
    assert 'data' in as_dict['seg_logits']
    assert as_dict['seg_logits']['data'].shape == (5, 32, 40)
    assert torch.equal(sample.cpu().seg_logits.data, sample.seg_logits.data)
    assert torch.equal(copy.deepcopy(sample).seg_logits.data, sample.seg_logits.data)
    assert pickle.loads(pickle.dumps(sample)).seg_logits.shape == (32, 40)
    assert computed == [1]


@torch.no_grad()
def test_mmsegs_inference_methods_give_its_logits():
    options = dict(test_cfg=SLIDE)
    ours, stock = toy_segmentor(**options), toy_segmentor('mmseg.EncoderDecoder', **options)
    stock.load_state_dict(ours.state_dict())
    inputs = torch.randn(1, 3, 50, 61)
    meta = dict(ori_shape=(50, 61), img_shape=(50, 61), pad_shape=(50, 61))
    for name in ('encode_decode', 'whole_inference', 'slide_inference', 'inference'):
        got, expected = (getattr(one, name)(inputs, [dict(meta)]) for one in (ours, stock))
        torch.testing.assert_close(got, expected, msg=name)


@pytest.mark.parametrize('batch', [1, 3])
@torch.no_grad()
def test_logits_of_batched_windows_are_those_of_single_ones(batch):
    inputs = torch.randn(2, 3, 70, 81)
    single = toy_segmentor(test_cfg=SLIDE).inference(inputs)
    batched = toy_segmentor(test_cfg=dict(SLIDE, window_batch=batch)).inference(inputs)
    assert single.shape == (2, 5, 70, 81)
    torch.testing.assert_close(batched, single)


@pytest.mark.parametrize('threshold', [0.3, 0.8])
@pytest.mark.parametrize('test_cfg', [dict(mode='whole'), SLIDE])
@torch.no_grad()
def test_predict_of_a_binary_head_is_probability_above_the_threshold(threshold, test_cfg):
    model = toy_segmentor(num_classes=2, out_channels=1, test_cfg=test_cfg)
    model.decode_head.threshold = threshold
    inputs = torch.randn(1, 3, 60, 50)
    labels = model.predict(inputs, samples((60, 50))[:1])[0].pred_sem_seg.data
    assert labels.dtype == torch.int64
    assert torch.equal(labels, (model.inference(inputs)[0].sigmoid() > threshold).long())
    assert labels.unique().tolist() == [0, 1]


@pytest.mark.parametrize('head', ['DAHead', 'EncHead', 'PSPHead', 'ASPPHead'])
@torch.no_grad()
def test_decode_takes_mmsegs_heads_as_they_are(head):
    init_default_scope('mmseg')
    extra = dict(
        DAHead=dict(pam_channels=4),
        EncHead=dict(in_channels=(4, 6), in_index=(0, 1), num_codes=4, use_se_loss=True),
        PSPHead=dict(pool_scales=(1, 2)),
        ASPPHead=dict(dilations=(1, 2)),
    )[head]
    heads = dict(in_channels=6, in_index=1, channels=4, num_classes=5, norm_cfg=dict(type='BN'))
    config = ConfigDict(
        type='openseg_plugin.EncoderDecoder',
        backbone=dict(type='openseg_plugin.StandInBackbone', channels=(4, 6), strides=(4, 8)),
        decode_head=dict(type=f'mmseg.{head}', align_corners=False, **{**heads, **extra}),
        test_cfg=dict(mode='whole'),
    )
    ours = MODELS.build(config).eval()
    stock = MODELS.build({**config, 'type': 'mmseg.EncoderDecoder'}).eval()
    stock.load_state_dict(ours.state_dict())
    inputs = torch.randn(2, 3, 64, 72)
    assert torch.equal(
        ours.predict(inputs)[1].pred_sem_seg.data, stock.predict(inputs)[1].pred_sem_seg.data
    )


@pytest.mark.parametrize('cfg', [None, dict()])
def test_build_accepts_what_init_model_sets(cfg):
    model = EncoderDecoder(
        backbone=dict(type='openseg_plugin.StandInBackbone', channels=(4,), strides=(4,)),
        decode_head=dict(type='openseg_plugin.FCNHead', in_channels=4, channels=4, num_classes=3),
        pretrained=None,
        train_cfg=None,
        test_cfg=cfg,
    )
    assert model.inference(torch.randn(1, 3, 16, 16)).shape == (1, 3, 16, 16)


def test_scores_with_an_unknown_mode_names_the_known_ones():
    model = toy_segmentor(test_cfg=dict(mode='whale'))
    with pytest.raises(ValueError, match="'whale': give 'whole' or 'slide'"):
        model.scores(torch.randn(1, 3, 16, 16))


def test_build_without_a_gpu_has_no_sync_bn_and_says_so_once(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.setattr(encoder_decoder, '_said', set())
    said = []
    monkeypatch.setattr(encoder_decoder, 'print_log', lambda text, **kw: said.append((text, kw)))
    for _ in range(2):
        model = toy_segmentor(norm='SyncBN')
        kinds = {type(m) for m in model.modules() if 'BatchNorm' in type(m).__name__}
        assert kinds == {torch.nn.BatchNorm2d}
    assert [entry[1]['level'] for entry in said] == [logging.INFO]
    model.train()(torch.randn(2, 3, 16, 16), mode='tensor')


def test_build_with_a_gpu_keeps_sync_bn(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    model = toy_segmentor(norm='SyncBN')
    assert any(isinstance(m, torch.nn.SyncBatchNorm) for m in model.modules())


def test_without_sync_bn_keeps_names_values_and_settings():
    norm = torch.nn.SyncBatchNorm(4, eps=0.1, momentum=0.3)
    torch.nn.init.normal_(norm.weight)
    norm.running_mean.normal_()
    norm.bias.requires_grad_(False)
    norm.eval()
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.Sequential(norm))
    before = {key: value.clone() for key, value in net.state_dict().items()}
    assert without_sync_bn(net) == 1
    replaced = net[1][0]
    assert (type(replaced), replaced.eps, replaced.momentum) == (torch.nn.BatchNorm2d, 0.1, 0.3)
    assert not replaced.training
    assert (replaced.weight.requires_grad, replaced.bias.requires_grad) == (True, False)
    after = net.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[key], before[key]) for key in before)
