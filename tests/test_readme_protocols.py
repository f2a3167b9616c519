"""The commands in the README's section "Test protocols" choose what it says they choose."""

import re
import shlex

import pytest
from leaves import ROOT

from openseg_plugin.cli import test as command

CONFIG = 'configs/ocr/r101_pascal_context_30k.py'
SECTION = re.search(
    '### Test protocols\n(.*?)\n\nMMSegmentation', (ROOT.parent / 'README.md').read_text(), re.S
).group(1)
OPENSEG = re.search("O='(.*?)'", SECTION).group(1)
COMMANDS = re.findall(r'^    python tools/test\.py (.*?)(?:\s+# .*)?$', SECTION, re.M)
SCALES = [0.5, 0.75, 1, 1.25, 1.5, 1.75, 2]
CROP = [520, 520]


@pytest.fixture
def configured(tmp_path, monkeypatch):
    """The config of the command with a number, as tools/test.py would run it."""
    monkeypatch.chdir(ROOT.parent)
    weights = tmp_path / 'weights.pth'
    weights.touch()

    def config(number):
        line = COMMANDS[number].replace('$O', OPENSEG)
        line = line.replace('$C', CONFIG).replace('$W', str(weights))
        arguments = command._parse([*shlex.split(line), '--work-dir', str(tmp_path)])
        return command.testing_config(arguments)

    return config


def test_section_has_a_command_for_every_protocol():
    assert len(COMMANDS) == 9


def test_whole_and_slide(configured):
    assert configured(0).model.test_cfg == dict(mode='whole')
    assert configured(1).model.test_cfg == dict(mode='slide', crop_size=CROP, stride=CROP)


def test_merged_views(configured):
    cfg = configured(2)
    assert cfg.model.type == 'openseg_plugin.MultiScaleFlip'
    assert (cfg.model['merge'], cfg.model.size_divisor) == ('logits', 8)
    views = [step for step in cfg.test_dataloader.dataset.pipeline if 'ratios' in step]
    assert [view.ratios for view in views] == [(0.75, 1.0, 1.25)]


@pytest.mark.parametrize(
    ('number', 'expected'),
    [
        pytest.param(3, dict(), id='whole'),
        pytest.param(4, dict(crop_size=CROP), id='crop'),
        pytest.param(5, dict(scales=SCALES, flip=True), id='multi-scale'),
        pytest.param(6, dict(scales=SCALES, flip=True, crop_size=CROP), id='multi-scale crop'),
    ],
)
def test_protocol_of_openseg(configured, number, expected):
    cfg = configured(number)
    wrapper = {key: value for key, value in cfg.model.items() if key != 'module'}
    assert wrapper == dict(type='openseg_plugin.OpenSegMultiScale', **expected)
    views = [step for step in cfg.test_dataloader.dataset.pipeline if 'ratios' in step]
    assert [view.ratios for view in views] == [(1.0,)]


@pytest.mark.parametrize(('number', 'size'), [(7, None), (8, 480)])
def test_protocol_of_the_zoo(configured, number, size):
    steps = configured(number).test_dataloader.dataset.pipeline
    assert [step.size for step in steps if step.type.endswith('ShortSideCenterCrop')] == [size]
