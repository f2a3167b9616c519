"""The commands on the page about evaluation protocols choose what it says they choose."""

import shlex

import pytest
from doc_pages import PROJECT, blocks

from openseg_plugin.cli.test import build_parser
from openseg_plugin.engine.runner import testing

CONFIG = 'configs/ocr/r101_pascal_context_30k.py'
SCALES = [0.5, 0.75, 1, 1.25, 1.5, 1.75, 2]
CROP = [520, 520]
LINES = [
    line
    for block in blocks(PROJECT / 'docs/how_to/testing.md')
    if block.language == 'bash'
    for line in block.commands()
]
OPENSEG = next(line for line in LINES if line.startswith('O='))[2:].strip("'")
# below the heading "The exact openseg.pytorch protocol"
WHOLE, CROPS, MULTI_SCALE, MULTI_SCALE_CROPS = (line for line in LINES if '$O' in line)
VAL, VAL_CROP = (line for line in LINES if 'configs/pspnet' in line)
(SLIDE,) = (line for line in LINES if 'mode=slide' in line)
(MERGED,) = (line for line in LINES if 'merge=logits' in line)


@pytest.fixture
def configured(tmp_path, monkeypatch):
    """The config of a command, as ``openseg test`` would run it."""
    monkeypatch.chdir(PROJECT)
    weights = tmp_path / 'weights.pth'
    weights.touch()

    def config(line):
        line = line.removeprefix('openseg test ').replace('$O', OPENSEG)
        line = line.replace('$C', CONFIG).replace('$W', str(weights))
        words = [*shlex.split(line), '--work-dir', str(tmp_path)]
        return testing.testing_config(build_parser().parse_args(words))

    return config


def test_whole_images_and_sliding_windows(configured):
    assert configured('openseg test $C $W').model.test_cfg == dict(mode='whole')
    assert configured(SLIDE).model.test_cfg == dict(mode='slide', crop_size=CROP, stride=CROP)


def test_merged_views(configured):
    cfg = configured(MERGED)
    assert cfg.model.type == 'openseg_plugin.MultiScaleFlip'
    assert (cfg.model['merge'], cfg.model.size_divisor) == ('logits', 8)
    assert ratios(cfg) == [(0.75, 1.0, 1.25)]


@pytest.mark.parametrize(
    ('line', 'expected'),
    [
        pytest.param(WHOLE, dict(), id='whole'),
        pytest.param(CROPS, dict(crop_size=CROP), id='crops'),
        pytest.param(MULTI_SCALE, dict(scales=SCALES, flip=True), id='multi-scale'),
        pytest.param(
            MULTI_SCALE_CROPS,
            dict(scales=SCALES, flip=True, crop_size=CROP),
            id='multi-scale crops',
        ),
    ],
)
def test_protocol_of_openseg(configured, line, expected):
    cfg = configured(line)
    wrapper = {key: value for key, value in cfg.model.items() if key != 'module'}
    # the model's own preprocessing, not one of the wrapper
    own = dict(data_preprocessor=cfg.model.module.data_preprocessor)
    assert wrapper == dict(type='openseg_plugin.OpenSegMultiScale', **own, **expected)
    assert ratios(cfg) == [(1.0,)]


@pytest.mark.parametrize(('line', 'size'), [(VAL, None), (VAL_CROP, 480)])
def test_protocol_of_pytorchcv(configured, line, size):
    transforms = configured(line).test_dataloader.dataset.pipeline
    assert [t.size for t in transforms if t.type.endswith('ShortSideCenterCrop')] == [size]


def ratios(cfg):
    """Scales of the views that the pipeline makes."""
    return [t.ratios for t in cfg.test_dataloader.dataset.pipeline if 'ratios' in t]
