"""HRNet-OCR's evaluator on a toy network."""

import pytest
import torch
import torch.nn.functional as F
from in_one_test import in_one_test
from parity import catalog, recipe_text, stored

from openseg_plugin.inference.protocols import (
    LIP_FLIP_PAIRS,
    hrnet_ocr_inference,
    hrnet_ocr_multi_scale,
)

# HRNet-OCR normalizes to 0..1 first
PAD_VALUE = [-mean / std for mean, std in ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))]
WINDOWS = {'cityscapes': 'shifted', 'base': 'padded'}


def cases() -> list:
    return [
        pytest.param(family, name, case, id=f'{family}/{case}')
        for family, name in (param.values for param in catalog.params('hrnet_ocr inference'))
        for case in stored.read(catalog.files()[family, name], family).outputs
    ]


def toy_network(num_classes: int, seed: int):
    kernel = torch.from_numpy(stored.weight('toy.weight', (num_classes, 3, 3, 3), seed=seed))
    shift = torch.from_numpy(stored.weight('toy.bias', (num_classes,), seed=seed))
    return lambda x: F.conv2d(x, kernel, shift, stride=4, padding=1)


@in_one_test(('family', 'name', 'case'), cases())
def test_hrnet_ocr_evaluator(family, name, case):
    fixture = stored.read(catalog.files()[family, name], family)
    given, seed = fixture.meta['outputs'][case], fixture.meta['seed']
    network = toy_network(given['num_classes'], seed)
    inputs = torch.from_numpy(recipe_text.made(given['image'], seed=seed))
    protocol, flip, align = case.split('/')
    options = {'flip': flip == 'flip=True', 'align_corners': align == 'align_corners=True'}
    if protocol == 'lip_inference':
        actual = hrnet_ocr_inference(network, inputs, flip_pairs=LIP_FLIP_PAIRS, **options)
    else:
        actual = hrnet_ocr_multi_scale(
            network,
            inputs,
            scales=given['scales'],
            base_size=given['base_size'],
            crop_size=tuple(given['crop_size']),
            windows=WINDOWS[protocol],
            pad_value=PAD_VALUE,
            **options,
        )
    # the reference ran in float32
    assert stored.error(actual.numpy(), fixture.outputs[case]) < 1e-5
