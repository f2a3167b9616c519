"""Several scales: the published recursion word by word, what is computed, losses, bad options."""

import copy
import math
import weakref

import pytest
import small_models  # noqa: F401  registers the backbone
import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from parity import paddle_resize
from random_norms import shuffle_norms

from openseg_plugin.errors import CheckpointError, ConfigError
from openseg_plugin.inference import MultiScaleFlip
from openseg_plugin.layers import scale_fusion
from openseg_plugin.models.segmentors.scale_checks import ordered_scales
from openseg_plugin.registry import MODELS

CLASSES = 5
BN = dict(type='BN')
OCR = dict(
    type='openseg_plugin.OCRHead',
    in_channels=(4, 8),
    channels=8,
    key_channels=4,
    region=dict(channels=6),
    dropout_ratio=0.0,
    align_corners=False,
    num_classes=CLASSES,
    norm_cfg=BN,
)
FCN = dict(
    type='openseg_plugin.FCNHead',
    in_channels=4,
    in_index=0,
    channels=8,
    dropout_ratio=0.0,
    align_corners=False,
    num_classes=CLASSES,
    norm_cfg=BN,
)
SCALES = [(1.0,), (0.5, 1.0), (0.5, 1.0, 2.0), (0.25, 0.5, 1.0, 2.0), (0.5, 1.0, 1.5, 2.0, 2.5)]


def build(head=OCR, **options):
    model = dict(
        type='openseg_plugin.HierarchicalMultiScaleSegmentor',
        backbone=dict(type='openseg_plugin.StandInBackbone', channels=(4, 8), strides=(4, 8)),
        decode_head=head,
        scale_attention=dict(
            type='openseg_plugin.ScaleAttentionHead', in_channels=8, channels=4, norm_cfg=BN
        ),
    )
    built = MODELS.build({**model, **options}).double().eval()
    return shuffle_norms(built)


def picture(size=(44, 57), batch=2):
    return torch.randn(batch, 3, *size, dtype=torch.float64)


def resized(maps, size):
    return F.interpolate(maps, size=tuple(size), mode='bilinear', align_corners=False)


def single(model, inputs):
    """Logits and attention of one pass, at the size of its input."""
    head = model.decode_head
    feats = head.object_contextual_features(model.extract_feat(inputs))[1]
    maps = (head.cls_seg(feats), model.scale_attention(feats))
    return [resized(one, inputs.shape[2:]) for one in maps]


def recursion(model, inputs, scales, *, exact_ratio):
    """The rule of both sources, nothing saved and nothing left out."""
    result = None
    for scale in sorted(scales, reverse=True):
        if exact_ratio:
            scaled = paddle_resize.scaled(inputs, scale)
        else:
            scaled = resized(inputs, [math.floor(side * scale) for side in inputs.shape[2:]])
        logits, weight = single(model, scaled)
        if result is None:
            result = logits
        elif scale >= 1:
            result = weight * logits + (1 - weight) * resized(result, logits.shape[2:])
        else:
            size = result.shape[2:]
            result = resized(weight * logits, size) + (1 - resized(weight, size)) * result
    return result


@pytest.mark.parametrize('size', [(48, 64), (44, 57)], ids=str)
@pytest.mark.parametrize('exact_ratio', [False, True])
@pytest.mark.parametrize('scales', SCALES, ids=str)
@torch.no_grad()
def test_logits_are_those_of_the_published_recursion(scales, exact_ratio, size):
    model = build(scales=scales, exact_ratio=exact_ratio)
    inputs = picture(size)
    expected = recursion(model, inputs, scales, exact_ratio=exact_ratio)
    torch.testing.assert_close(model.logits(inputs), expected)


@torch.no_grad()
def test_logits_by_few_classes_at_a_time_are_the_same(monkeypatch):
    model, inputs = build(), picture()
    expected = model.logits(inputs)
    monkeypatch.setattr(scale_fusion, 'CHUNK_BYTES', 1)
    torch.testing.assert_close(model.logits(inputs), expected)


@pytest.mark.parametrize('scales', SCALES, ids=str)
@torch.no_grad()
def test_attention_of_the_finest_scale_is_not_computed(scales):
    model, calls = build(scales=scales), []
    model.scale_attention.register_forward_hook(lambda *_: calls.append(1))
    model.logits(picture())
    assert len(calls) == len(scales) - 1


@torch.no_grad()
def test_constant_attention_mixes_with_fixed_shares():
    model, inputs = build(scales=(0.5, 1.0)), picture((48, 64))
    torch.nn.init.zeros_(model.scale_attention.conv_attention.weight)  # a half everywhere
    coarse, fine = model.two_passes(inputs)
    expected = sum(resized(resized(one.logits, one.size), (48, 64)) / 2 for one in (coarse, fine))
    torch.testing.assert_close(model.logits(inputs), expected)


@torch.no_grad()
def test_slide_merges_windows_of_fused_logits():
    windows = dict(mode='slide', crop_size=(64, 64), stride=(64, 32))
    model = build(test_cfg=windows)
    inputs = picture((64, 96), batch=1)
    parts = [model.decode(inputs[..., start : start + 64]) for start in (0, 32)]
    logits = model.logits(inputs)
    torch.testing.assert_close(logits[..., :32], parts[0][..., :32])
    torch.testing.assert_close(logits[..., 32:64], (parts[0][..., 32:] + parts[1][..., :32]) / 2)


def samples(size=(48, 64), batch=2):
    found = []
    for _ in range(batch):
        labels = torch.randint(0, CLASSES, (1, *size))
        labels[:, :5] = 255
        sample = SegDataSample(gt_sem_seg=PixelData(data=labels))
        sample.set_metainfo(dict(img_shape=size, pad_shape=size, ori_shape=size))
        found.append(sample)
    return found


def test_loss_has_all_pieces_with_their_weights():
    scale_loss = dict(type='openseg_plugin.CrossEntropyLoss', loss_weight=0.05)
    model, inputs, labelled = build(loss_scale=scale_loss), picture((48, 64)), samples()
    labels = torch.cat([sample.gt_sem_seg.data for sample in labelled])
    losses = model.loss(inputs, labelled)
    assert set(losses) == {
        'decode.loss_ce',
        'decode.region.loss_ce',
        'decode.acc_seg',
        'coarse.loss_ce',
        'fine.loss_ce',
    }
    with torch.no_grad():
        half = F.interpolate(inputs, scale_factor=0.5, mode='bilinear', align_corners=False)
        coarse = resized(single(model, half)[0], (48, 64))
        joint = recursion(model, inputs, (0.5, 1.0), exact_ratio=False)
    for name, logits, weight in (('decode', joint, 1.0), ('coarse', coarse, 0.05)):
        expected = weight * F.cross_entropy(logits, labels, ignore_index=255)
        torch.testing.assert_close(losses[f'{name}.loss_ce'].detach(), expected)


def test_loss_reaches_every_parameter_and_moves_statistics_of_both_passes():
    model = build(loss_scale=dict(type='openseg_plugin.CrossEntropyLoss')).train()
    losses = model.loss(picture((48, 64)), samples())
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []
    counters = {
        int(value) for name, value in model.named_buffers() if name.endswith('batches_tracked')
    }
    assert counters == {2}


LOSSES = {
    'cross entropy': [dict(type='openseg_plugin.CrossEntropyLoss')],
    'rmi': [dict(type='openseg_plugin.RMILoss')],
    'paddleseg': [
        dict(type='openseg_plugin.DiceLoss'),
        dict(type='openseg_plugin.BootstrappedCrossEntropyLoss', min_kept=100),
    ],
    'others': [
        dict(type='openseg_plugin.ImageWeightedCrossEntropyLoss'),
        dict(type='openseg_plugin.BoundaryRelaxedLoss'),
    ],
}


@pytest.mark.parametrize('kind', LOSSES)
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16], ids=str)
def test_loss_under_autocast_is_float32_and_close(dtype, kind):
    losses = LOSSES[kind]
    head = dict(OCR, loss_decode=losses, loss_region=losses)
    model = build(head, loss_scale=losses).float()
    inputs, labelled = picture((48, 64)).float(), samples()
    expected = model.loss(inputs, labelled)
    with torch.autocast('cpu', dtype=dtype):
        found = model.loss(inputs, labelled)
    for name, value in found.items():
        assert value.dtype == torch.float32
        if 'loss' in name:
            torch.testing.assert_close(value, expected[name], rtol=0.05, atol=0.05)
    sum(value for name, value in found.items() if 'loss' in name).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@torch.no_grad()
def test_prediction_under_autocast_is_fused_in_float32():
    model, inputs = build().float(), picture().float()
    expected = model.logits(inputs)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        found = model.logits(inputs)
    assert found.dtype == torch.float32
    assert 0 < (found - expected).abs().max() < 0.05 * expected.abs().max()


@torch.no_grad()
def test_no_earlier_pass_is_alive_while_the_next_one_is_computed(monkeypatch):
    model, made, alive = build(scales=SCALES[-1]), [], []
    plain = model._pass

    def watched(*arguments, **options):
        alive.append(sum(reference() is not None for reference in made))
        one = plain(*arguments, **options)
        made.extend(weakref.ref(part) for part in (one, one.regions))
        return one

    monkeypatch.setattr(model, '_pass', watched)
    model.logits(picture())
    assert alive == [0] * 5


@pytest.mark.parametrize('scales', SCALES, ids=str)
@torch.no_grad()
def test_flipped_view_adds_to_the_scales_inside(scales):
    preprocessor = dict(type='openseg_plugin.SegDataPreProcessor')
    model = build(scales=scales, data_preprocessor=preprocessor).float()
    inputs = picture((48, 64), batch=1).float()
    tta = MultiScaleFlip(module=model, merge='logits', flip=True)
    meta = dict(ori_shape=(48, 64), img_shape=(48, 64))
    data = dict(inputs=[[inputs[0]]], data_samples=[[SegDataSample(metainfo=meta)]])
    (found,) = tta.test_step(data)
    both = model.logits(inputs) + model.logits(inputs.flip(-1)).flip(-1)
    # rounding may decide a tie
    assert (found.pred_sem_seg.data != both.argmax(1)).float().mean() < 1e-3


def test_head_with_pixel_features_alone_trains_and_predicts():
    model = build(FCN, scales=(0.5, 1.0)).train()
    losses = model.loss(picture((48, 64)), samples())
    assert {'decode.loss_ce', 'decode.acc_seg'} == set(losses)
    result = model.eval().predict(picture((48, 64)), samples())
    assert result[0].pred_sem_seg.data.shape == (1, 48, 64)


def test_weights_survive_saving_and_a_copy(tmp_path):
    model, inputs = build(), picture(batch=1)
    torch.save(model.state_dict(), tmp_path / 'model.pth')
    other = build()
    other.load_state_dict(torch.load(tmp_path / 'model.pth', weights_only=True))
    with torch.no_grad():
        expected = model.logits(inputs)
        torch.testing.assert_close(other.logits(inputs), expected)
        torch.testing.assert_close(copy.deepcopy(model).logits(inputs), expected)


def test_weights_of_one_scale_start_a_training_only_where_asked_for():
    state = {
        name: value
        for name, value in build().state_dict().items()
        if not name.startswith('scale_attention.')
    }
    with pytest.raises(CheckpointError, match='scale_attention'):
        build().load_state_dict(state)
    model = build(drop_classifier=True)
    model.load_state_dict(state)
    torch.testing.assert_close(
        model.decode_head.bottleneck.conv.weight, state['decode_head.bottleneck.conv.weight']
    )


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(scales=(0.5, 2.0)), '1.0 must be among them'),
        (dict(scales=(0.5, 0.5, 1.0)), 'each may occur once'),
        (dict(scales=(-0.5, 1.0)), 'positive'),
        (dict(test_cfg=dict(mode='whole', scales=(2.0,))), '1.0 must be among them'),
        (dict(train_scale=1.0), 'train_scale is 1'),
        (dict(train_scale=0.0), 'train_scale is 0'),
        (
            dict(
                test_cfg=dict(mode='slide', crop_size=(64, 64), stride=(32, 32)),
                scales=(0.25, 1.0),
            ),
            'test_cfg.crop_size',
        ),
        (
            dict(data_preprocessor=dict(type='openseg_plugin.SegDataPreProcessor', size=(65, 64))),
            'whole number of pixels',
        ),
        (
            dict(data_preprocessor=dict(type='openseg_plugin.SegDataPreProcessor', size=(48, 64))),
            'less than the stride',
        ),
        (
            dict(
                data_preprocessor=dict(type='openseg_plugin.SegDataPreProcessor', size=(64, 64)),
                scales=(0.25, 1.0),
            ),
            r'data_preprocessor.size is \(64, 64\), which is \(16, 16\) at scale 0.25',
        ),
        (
            dict(
                head=dict(
                    type='mmseg.FCNHead', in_channels=4, channels=8, num_classes=CLASSES, in_index=0
                )
            ),
            'pixel features',
        ),
    ],
    ids=str,
)
def test_what_cannot_work_is_refused_when_built(options, message):
    with pytest.raises(ConfigError, match=message):
        build(**options)


def test_picture_too_small_for_a_scale_is_refused_with_both_sizes():
    with pytest.raises(ConfigError, match=r'12x40 pixels is 3x10 at scale 0\.25'):
        build(scales=(0.25, 1.0)).logits(picture((12, 40)))


def test_ordered_scales_are_floats_from_fine_to_coarse():
    assert ordered_scales([1, 0.5, 2]) == (2.0, 1.0, 0.5)
