import pytest
import torch
from mmseg.structures import SegDataSample

from openseg_plugin.errors import ConfigError
from openseg_plugin.registry import MODELS
from openseg_plugin.segfix.segmentor import network_scores, sliding_scores

TINY = dict(
    type='openseg_plugin.SegFix',
    data_preprocessor=dict(type='openseg_plugin.SegDataPreProcessor'),
    backbone=dict(type='openseg_plugin.HRNet2x', width=2, num_modules=(1, 1, 1, 1), num_blocks=1),
    decode_head=dict(type='openseg_plugin.SegFixHead', in_channels=(2, 4, 8, 16, 32), channels=4),
)


def build(**test_cfg) -> torch.nn.Module:
    torch.manual_seed(0)
    model = MODELS.build(dict(TINY, test_cfg=dict(test_cfg))).eval()
    # random classifiers, so that both answers occur
    for conv in (model.decode_head.boundary_seg, model.decode_head.direction_seg):
        torch.nn.init.normal_(conv.weight, std=5)
    return model


@pytest.mark.parametrize('softmax', [True, False])
@pytest.mark.parametrize('mode', ['whole', 'slide'])
@torch.no_grad()
def test_predict_is_the_arg_max_of_the_scores_of_its_mode(mode, softmax):
    model = build(mode=mode, softmax=softmax, crop_size=(16, 16))
    images = torch.randn(2, 3, 24, 30)
    if mode == 'slide':
        scores = sliding_scores(model.outputs, images, crop_size=(16, 16), softmax=softmax)
    else:
        scores = network_scores(*model.outputs(images), (24, 30), softmax=softmax)
    samples = model.predict(images)
    for sample, boundary, direction in zip(samples, *scores):
        assert torch.equal(sample.pred_boundary.data[0], (boundary > 0.5).to(torch.uint8))
        assert torch.equal(sample.pred_direction.data[0].long(), direction.argmax(0))


@torch.no_grad()
def test_predict_cuts_padding_and_resizes_to_the_stored_size():
    model = build()
    sample = SegDataSample()
    sample.set_metainfo(dict(ori_shape=(40, 52), padding_size=(0, 4, 0, 2)))
    inputs = torch.randn(1, 3, 22, 30)
    (found,) = model.predict(inputs, [sample])
    whole = model.predict(inputs)[0].pred_direction.data[:, :20, :26]
    assert torch.equal(
        found.pred_direction.data, whole.repeat_interleave(2, 1).repeat_interleave(2, 2)
    )


def test_unknown_mode_is_refused():
    with pytest.raises(ConfigError, match="'whole', 'slide'"):
        build(mode='crops').field_scores(torch.randn(1, 3, 16, 16))


def test_published_names_load_into_the_model_whatever_its_directions():
    model = MODELS.build(
        dict(TINY, drop_classifier=True, decode_head=dict(TINY['decode_head'], num_directions=4))
    )
    weights = build().state_dict()
    weights = {name: value for name, value in weights.items()}
    kept = model.decode_head.direction_seg.weight.clone()
    model.load_state_dict(weights)
    assert torch.equal(model.decode_head.direction_seg.weight, kept)
    assert torch.equal(
        model.decode_head.boundary_seg.weight, weights['decode_head.boundary_seg.weight']
    )
