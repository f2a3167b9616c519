"""Which network a file of NVIDIA or of PaddleSeg's multi-scale project holds, by its names."""

import numpy as np
import pytest
from in_one_test import in_one_test

from openseg_plugin.converters.checkpoints import convert, identify, nvidia
from openseg_plugin.errors import CheckpointError

BACKBONE = 'backbone.stage4.0.branches.0.0.conv1.weight'
OCR = ('ocr.conv3x3_ocr.0.weight', 'ocr.cls_head.weight')


def names(*parts: str) -> dict:
    return {name: np.zeros((2, 2, 1, 1), 'float32') for name in parts}


@in_one_test('prefix', ['', 'module.'])
@in_one_test(
    ('parts', 'network'),
    [
        ((BACKBONE, *OCR), 'ocrnet.HRNet'),
        ((BACKBONE, *OCR, 'scale_attn.conv0.weight'), 'ocrnet.HRNet_Mscale'),
        (
            ('backbone.mod1.conv1.weight', 'aspp.img_conv.0.weight', 'bot_aspp.weight'),
            'deepv3.DeepV3PlusW38',
        ),
    ],
)
def test_networks_of_nvidia_are_recognized_with_and_without_prefix(parts, network, prefix):
    source = identify({'state_dict': names(*(prefix + part for part in parts)), 'epoch': 1})
    assert (source.name, source.network) == ('nvidia', network)


def test_incomplete_file_is_refused_with_what_is_missing():
    with pytest.raises(CheckpointError, match='missing'):
        convert(names(BACKBONE, *OCR, 'scale_attn.conv0.weight'))


@pytest.mark.parametrize(
    ('entries', 'targets'),
    [
        (('conv0', 'conv1', 'conv2'), 3),
        (('conv0', 'conv2'), 2),  # --mscale_no3x3
        (('0', '3', '6'), 3),  # --mscale_old_arch
        (('0', '3'), 2),
    ],
)
def test_attention_heads_of_all_forms_have_a_place(entries, targets):
    weights = names(*(f'scale_attn.{entry}.weight' for entry in entries))
    units = list(nvidia._scale_attention(weights))
    assert [unit.source for unit in units] == [f'scale_attn.{entry}' for entry in entries]
    assert len(units) == targets
    assert units[-1].target == 'scale_attention.conv_attention'
