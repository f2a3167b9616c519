"""mmseg's base models with our heads: what agrees is accepted, the rest is named."""

from pathlib import Path

import mmseg
import pytest
from mmengine.config import Config

from openseg_plugin.errors import ConfigError
from openseg_plugin.registry import MODELS

BASES = Path(mmseg.__file__).parent / '.mim/configs/_base_/models'
OTHERS = ('fcn_hr18', 'fcn_r50-d8', 'pspnet_r50-d8', 'deeplabv3_r50-d8', 'upernet_r50')
OTHERS += ('isanet_r50-d8', 'danet_r50-d8', 'ccnet_r50-d8', 'deeplabv3plus_r50-d8')
OTHERS += ('nonlocal_r50-d8', 'ocrnet_hr18', 'ocrnet_r50-d8')
# our head, mmseg's base, what the message has to name, the options that follow it
OF_ONE_KIND = [
    ('PSPHead', 'pspnet_r50-d8', None, {}),
    ('CCHead', 'ccnet_r50-d8', None, {}),
    ('DeepLabV3Head', 'deeplabv3_r50-d8', None, {}),
    ('FCNHead', 'fcn_hr18', None, {}),
    ('FCNHead', 'fcn_r50-d8', 'concat_input=True', dict(num_convs=1, concat_input=False)),
    ('DAHead', 'danet_r50-d8', 'here key_channels', dict(pam_channels=None)),
    (
        'ISAHead',
        'isanet_r50-d8',
        'here windows',
        dict(isa_channels=None, down_factor=None, windows=((8, 8),)),
    ),
    (
        'DeepLabV3PlusHead',
        'deeplabv3plus_r50-d8',
        'here skip_in_channels',
        dict(c1_in_channels=None, c1_channels=None, skip_in_channels=256),
    ),
    (
        'OCRHead',
        'ocrnet_hr18',
        'here key_channels',
        dict(ocr_channels=None, key_channels=256, region=dict(channels=64)),
    ),
]


def head_of(base: str, kind: str) -> dict:
    head = Config.fromfile(BASES / f'{base}.py').model.decode_head
    head = head[-1] if isinstance(head, list) else head
    return {**head, 'type': f'openseg_plugin.{kind}', 'norm_cfg': dict(type='BN')}


@pytest.mark.parametrize('base', OTHERS)
def test_every_base_model_of_mmseg_is_told_what_our_head_needs(base):
    head = head_of(base, 'OCRHead')
    with pytest.raises(ConfigError, match=r'OCRHead .*(key_channels|region)'):
        MODELS.build(head)


@pytest.mark.parametrize(('kind', 'base', 'named', 'changes'), OF_ONE_KIND)
def test_head_of_one_kind_takes_over_what_agrees(kind, base, named, changes):
    head = head_of(base, kind)
    if named is not None:
        with pytest.raises(ConfigError, match=named):
            MODELS.build(head)
    head = {name: value for name, value in {**head, **changes}.items() if value is not None}
    assert MODELS.build(head).num_classes == 19


AUXILIARY = ('ann_r50-d8', 'bisenetv1_r18-d32', 'ccnet_r50-d8', 'ocrnet_r50-d8', 'upernet_r50')


@pytest.mark.parametrize('base', AUXILIARY)
def test_auxiliary_heads_of_mmseg_need_only_our_name(base):
    model = Config.fromfile(BASES / f'{base}.py').model
    heads = model.get('auxiliary_head') or model.decode_head[0]
    for head in heads if isinstance(heads, list) else [heads]:
        ours = {**head, 'type': 'openseg_plugin.FCNHead', 'norm_cfg': dict(type='BN')}
        assert MODELS.build(ours).num_classes == 19


def test_joining_that_disagrees_is_refused():
    with pytest.raises(ConfigError, match='input_transform'):
        MODELS.build({**head_of('pspnet_r50-d8', 'PSPHead'), 'input_transform': 'resize_concat'})
