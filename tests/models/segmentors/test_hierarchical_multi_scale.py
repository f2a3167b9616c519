"""Multiple scales: the published recursion word by word, and what is computed."""

import copy
import weakref

import pytest
import torch
from hierarchical_nets import FCN, SCALES, build, image, recursion, resized, samples
from in_one_test import in_one_test
from mmseg.structures import SegDataSample

from openseg_plugin.errors import CheckpointError
from openseg_plugin.inference import MultiScaleFlip
from openseg_plugin.layers import scale_fusion


@in_one_test('size', [(48, 64), (44, 57)], ids=str)
@in_one_test('exact_ratio', [False, True])
@in_one_test('scales', SCALES, ids=str)
@torch.no_grad()
def test_logits_are_those_of_the_published_recursion(scales, exact_ratio, size):
    model = build(scales=scales, exact_ratio=exact_ratio)
    inputs = image(size)
    expected = recursion(model, inputs, scales, exact_ratio=exact_ratio)
    torch.testing.assert_close(model.inference(inputs), expected)


@torch.no_grad()
def test_logits_by_few_classes_at_a_time_are_the_same(monkeypatch):
    model, inputs = build(), image()
    expected = model.inference(inputs)
    monkeypatch.setattr(scale_fusion, 'CHUNK_BYTES', 1)
    torch.testing.assert_close(model.inference(inputs), expected)


@in_one_test('scales', SCALES, ids=str)
@torch.no_grad()
def test_attention_of_the_finest_scale_is_not_computed(scales):
    model, calls = build(scales=scales), []
    model.scale_attention.register_forward_hook(lambda *_: calls.append(1))
    model.inference(image())
    assert len(calls) == len(scales) - 1


@torch.no_grad()
def test_constant_attention_mixes_with_fixed_weights():
    model, inputs = build(scales=(0.5, 1.0)), image((48, 64))
    torch.nn.init.zeros_(model.scale_attention.conv_attention.weight)  # a half everywhere
    coarse, fine = model.two_passes(inputs)
    expected = sum(resized(resized(one.logits, one.size), (48, 64)) / 2 for one in (coarse, fine))
    torch.testing.assert_close(model.inference(inputs), expected)


@torch.no_grad()
def test_slide_merges_windows_of_fused_logits():
    windows = dict(mode='slide', crop_size=(64, 64), stride=(64, 32))
    model = build(test_cfg=windows)
    inputs = image((64, 96), batch=1)
    parts = [model.decode(inputs[..., start : start + 64]) for start in (0, 32)]
    logits = model.inference(inputs)
    torch.testing.assert_close(logits[..., :32], parts[0][..., :32])
    torch.testing.assert_close(logits[..., 32:64], (parts[0][..., 32:] + parts[1][..., :32]) / 2)


@torch.no_grad()
def test_prediction_under_autocast_is_fused_in_float32():
    model, inputs = build().float(), image().float()
    expected = model.inference(inputs)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        found = model.inference(inputs)
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
    model.inference(image())
    assert alive == [0] * 5


@in_one_test('scales', SCALES, ids=str)
@torch.no_grad()
def test_flipped_view_adds_to_the_scales_inside(scales):
    preprocessor = dict(type='openseg_plugin.SegDataPreProcessor')
    model = build(scales=scales, data_preprocessor=preprocessor).float()
    inputs = image((48, 64), batch=1).float()
    tta = MultiScaleFlip(module=model, merge='logits', flip=True)
    meta = dict(ori_shape=(48, 64), img_shape=(48, 64))
    data = dict(inputs=[[inputs[0]]], data_samples=[[SegDataSample(metainfo=meta)]])
    (found,) = tta.test_step(data)
    both = model.inference(inputs) + model.inference(inputs.flip(-1)).flip(-1)
    # rounding may decide a tie
    assert (found.pred_sem_seg.data != both.argmax(1)).float().mean() < 1e-3


def test_head_with_pixel_features_alone_trains_and_predicts():
    model = build(FCN, scales=(0.5, 1.0)).train()
    losses = model.loss(image((48, 64)), samples())
    assert {'decode.loss_ce', 'decode.acc_seg'} == set(losses)
    result = model.eval().predict(image((48, 64)), samples())
    assert result[0].pred_sem_seg.data.shape == (1, 48, 64)


def test_weights_survive_saving_and_a_copy(tmp_path):
    model, inputs = build(), image(batch=1)
    torch.save(model.state_dict(), tmp_path / 'model.pth')
    other = build()
    other.load_state_dict(torch.load(tmp_path / 'model.pth', weights_only=True))
    with torch.no_grad():
        expected = model.inference(inputs)
        torch.testing.assert_close(other.inference(inputs), expected)
        torch.testing.assert_close(copy.deepcopy(model).inference(inputs), expected)


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


@pytest.mark.parametrize('name', ['encode_decode', 'whole_inference', 'inference'])
@torch.no_grad()
def test_mmsegs_inference_methods_fuse_all_scales(name):
    model, inputs = build(), image((48, 64))
    expected = recursion(model, inputs, model.scales, exact_ratio=False)
    torch.testing.assert_close(getattr(model, name)(inputs, [{}]), expected)
