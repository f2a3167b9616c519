"""Models take published files by every way that weights are loaded."""

import logging
import pickle

import published_ocr
import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.model import revert_sync_batchnorm
from mmengine.runner import load_checkpoint
from mmengine.runner.checkpoint import load_state_dict
from published_ocr import BACKBONE, CLASSES, LEAKY, WIDTH, build, filled, published_weights

from openseg_plugin.errors import CheckpointError
from openseg_plugin.registry import MODELS


@pytest.fixture(scope='module', autouse=True)
def shallow_tables():
    with published_ocr.shallow_tables():
        yield


@pytest.fixture(scope='module')
def source() -> torch.nn.Module:
    return filled()


@pytest.fixture(scope='module')
def published(source) -> dict[str, torch.Tensor]:
    return published_weights(source)


@pytest.fixture(scope='module')
def file(published, tmp_path_factory):
    path = tmp_path_factory.mktemp('published') / 'hrnet_w48_ocr_1_latest.pth'
    torch.save({'state_dict': published, 'config_dict': {'resume': None}}, path)
    return path


def assert_same_weights(actual: torch.nn.Module, expected: torch.nn.Module) -> None:
    expected = expected.state_dict()
    assert actual.state_dict().keys() == expected.keys()
    for name, value in actual.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, expected[name], rtol=1e-6, atol=1e-6)


def by_mmengine_file(model, published, file):
    load_checkpoint(model, str(file))


def by_mmengine_mapping(model, published, file):
    load_state_dict(model, dict(published), strict=True)


def by_torch(model, published, file):
    result = model.load_state_dict(published)
    assert not result.missing_keys
    assert not result.unexpected_keys


def by_torch_with_assignment(model, published, file):
    model.load_state_dict(published, assign=True)


def by_tta_and_mmengine(model, published, file):
    load_checkpoint(tta(model), str(file))


def by_tta_and_torch(model, published, file):
    tta(model).load_state_dict({f'module.{k}': v for k, v in published.items()})


def tta(model):
    return MODELS.build({'type': 'openseg_plugin.MultiScaleFlip', 'module': model})


WAYS = [
    by_mmengine_file, by_mmengine_mapping, by_torch, by_torch_with_assignment,
    by_tta_and_mmengine, by_tta_and_torch,
]  # fmt: skip


@pytest.mark.parametrize('load', WAYS)
def test_published_weights_arrive_by_every_way(source, published, file, load):
    model = build()
    load(model, published, file)
    assert_same_weights(model, source)


@pytest.mark.parametrize('load', [by_mmengine_file, by_torch])
@pytest.mark.parametrize('classes', [2, 5])
def test_other_class_count_is_refused_and_dropping_keeps_the_rest(
    source, published, file, load, classes
):
    model = build(classes=classes)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=f'{CLASSES} classes, but the model has {classes}'):
        load(model, published, file)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    model.drop_classifier = True
    load(model, published, file)
    expected = source.state_dict()
    for name, value in model.state_dict().items():
        if '_seg.' in name:
            assert torch.equal(value, before[name])
        elif value.is_floating_point():
            torch.testing.assert_close(value, expected[name], rtol=1e-6, atol=1e-6)


def test_dropped_entries_are_named_in_the_log(published, file, log):
    model = build(classes=5)
    model.drop_classifier = True
    load_checkpoint(model, str(file), logger='current')
    (line,) = [text for text in log() if 'drop_classifier' in text]
    for name in ('conv_seg.weight', 'conv_seg.bias', 'region_seg.weight', 'region_seg.bias'):
        assert f'decode_head.{name}' in line
    assert not [text for text in log() if 'missing keys' in text or 'size mismatch' in text]


@pytest.fixture
def log(caplog):
    logger = MMLogger.get_instance(f'foreign_weights_{id(caplog)}', log_level='INFO')
    logger.addHandler(caplog.handler)
    return lambda: [record.getMessage() for record in caplog.records]


def test_log_says_whose_weights_they_were(file, log):
    load_checkpoint(build(), str(file))
    assert 'weights of hrnet_w48_ocr of openseg converted on loading' in log()
    assert not [text for text in log() if 'trained with' in text]


@pytest.mark.parametrize(
    ('options', 'complaint'),
    [
        ({'act_cfg': {'type': 'ReLU'}}, 'leaky ReLU in the head'),
        ({'align_corners': False}, 'align_corners=True'),
    ],
)
def test_model_that_computes_otherwise_is_warned_of(file, log, caplog, options, complaint):
    load_checkpoint(build(**options), str(file))
    (record,) = [r for r in caplog.records if 'trained with' in r.getMessage()]
    assert record.levelno == logging.WARNING
    assert f'trained with {complaint}; for' in record.getMessage()
    assert 'configs/ocr/hrnet48_iabn_cityscapes_80k.py' in record.getMessage()


def test_other_images_than_in_training_are_warned_of(file, log):
    model = build()
    model.data_preprocessor.swap_channels = True
    load_checkpoint(model, str(file))
    assert [text for text in log() if 'images as BGR, minus (123.675' in text]


def test_model_without_conv_bias_gives_the_same_outputs(source, published):
    source.eval()
    model = build(conv_bias='none').eval()
    model.load_state_dict(published)
    image = torch.randn(1, 3, 40, 56)
    with torch.no_grad():
        torch.testing.assert_close(
            model.double().inference(image.double()),
            source.double().inference(image.double()),
            rtol=1e-4,
            atol=1e-4,
        )
    source.float()


def test_init_cfg_of_the_backbone_takes_the_file_of_a_whole_network(source, file):
    backbone = MODELS.build({
        **BACKBONE,
        'init_cfg': {'type': 'Pretrained', 'checkpoint': str(file)},
    })  # fmt: skip
    backbone.init_weights()
    assert_same_weights(backbone, source.backbone)


def test_init_cfg_of_the_backbone_drops_a_classification_head(source, tmp_path):
    weights = {**source.backbone.state_dict(), 'classifier.weight': torch.zeros(10, 4)}
    torch.save(weights, tmp_path / 'imagenet.pth')
    backbone = MODELS.build({
        **BACKBONE,
        'init_cfg': {'type': 'Pretrained', 'checkpoint': str(tmp_path / 'imagenet.pth')},
    })  # fmt: skip
    backbone.init_weights()
    assert_same_weights(backbone, source.backbone)


def test_own_weights_round_trip_and_incomplete_ones_are_refused(source):
    state = source.state_dict()
    model = build()
    model.load_state_dict(state)
    assert_same_weights(model, source)
    state = {name: value for name, value in state.items() if 'bottleneck' not in name}
    with pytest.raises(CheckpointError, match=r'missing: decode_head\.bottleneck\.conv'):
        load_state_dict(build(), state, strict=False)


def test_explicitly_partial_load_works_as_in_torch(source):
    state = {'backbone.conv1.weight': source.state_dict()['backbone.conv1.weight']}
    model = build()
    result = model.load_state_dict({**state, 'other.weight': torch.zeros(1)}, strict=False)
    assert result.unexpected_keys == ['other.weight']
    assert len(result.missing_keys) > 200
    assert torch.equal(model.backbone.conv1.weight, source.backbone.conv1.weight)
    with pytest.raises(CheckpointError):  # only that one call was partial
        model.load_state_dict(state)


def test_stock_init_model_takes_a_published_file(source, file, tmp_path):
    from mmengine.config import Config
    from mmseg.apis import init_model

    widths = [WIDTH * 2**branch for branch in range(4)]
    config = Config({
        'default_scope': 'mmseg',
        'model': {
            'type': 'openseg_plugin.EncoderDecoder',
            'backbone': BACKBONE,
            'decode_head': {
                'type': 'openseg_plugin.OCRHead', 'in_channels': widths, 'channels': 8,
                'key_channels': 4, 'region': {'channels': 6, 'kernel_size': 3},
                'conv_bias': 'all', 'num_classes': CLASSES, 'act_cfg': LEAKY,
            },
        },
    })  # fmt: skip
    model = init_model(config, str(file), device='cpu')
    assert_same_weights(revert_sync_batchnorm(model), source)


def test_models_with_the_mixin_can_be_pickled(source):
    copy = pickle.loads(pickle.dumps(source))
    assert_same_weights(copy, source)


@pytest.mark.parametrize('kind', ['meta device', 'quantized', 'complex', 'sparse'])
def test_weights_that_torch_would_leave_out_or_cut_are_refused(source, tmp_path, kind):
    name = 'decode_head.conv_seg.weight'
    value = source.state_dict()[name]
    spoiled = {
        'meta device': value.to('meta'),
        'quantized': torch.quantize_per_tensor(value, 0.1, 0, torch.qint8),
        'complex': value.to(torch.complex64),
        'sparse': value.to_sparse(),
    }[kind]
    torch.save({'state_dict': {**source.state_dict(), name: spoiled}}, tmp_path / 'w.pth')
    with pytest.raises(CheckpointError, match=f'{name} of the file .*{kind}'):
        load_checkpoint(build(), str(tmp_path / 'w.pth'))
