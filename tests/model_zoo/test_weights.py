"""What the entries say of a file is what the converter finds in a file of that network.

Files are stock models of the installed mmseg, or what was stored of the other projects' networks,
without memory for their weights.
"""

import re
from functools import cache
from pathlib import Path

import mmseg
import network_variants as variants
import pytest
import torch
from in_one_test import in_one_test
from mmengine.config import Config
from mmengine.registry import init_default_scope
from parity import catalog

from openseg_plugin.cli.weights import main
from openseg_plugin.converters.checkpoints import convert
from openseg_plugin.model_zoo.entries import PATH, Entry, built_model, computed_size, entries, find
from openseg_plugin.models.foreign_weights import _differences
from openseg_plugin.registry import MODELS

STOCK = Path(mmseg.__file__).parent / '.mim' / 'configs'
QUICK = ('isanet_r50-d8_512x1024_40k_cityscapes', 'pytorch_cv_fcn_resnet101_voc_jpu')
# one entry of every network, config and set of options
DIFFERENT = {(e.source, e.method, e.backbone, e.config, e.classes, str(e.options)): e
             for e in reversed(entries()) if e.use == 'test'}  # fmt: skip
BACKBONES = [entry for entry in entries() if entry.use == 'backbone']
ZOO_HEADS = {'fcn': 'fcn', 'pspnet': 'psp', 'deeplabv3': 'deeplab', 'danet': 'danet',
             'base_oc': 'ocnet_base', 'bisenet': 'bisenet'}  # fmt: skip
OPENSEG = {'ocr': 'spatial_ocrnet', 'asp_ocr': 'spatial_asp_ocrnet', 'isa': 'isanet',
           'base_oc': 'base_ocnet', 'ocr_b': 'hrnet_w48_ocr_b'}  # fmt: skip


def stock_config(entry: Entry) -> str:
    """mmseg's config of an entry's network for Cityscapes."""
    size = entry.backbone.removeprefix('hrnet').removeprefix('resnet')
    if 'FastFCN' in entry.note:
        kind = 'psp' if entry.method == 'pspnet' else 'aspp'
        return f'fastfcn/fastfcn_r50-d32_jpu_{kind}_4xb2-80k_cityscapes-512x1024.py'
    if entry.method == 'bisenet':
        data = 'coco-stuff164k-512x512' if size == '101' else 'cityscapes-1024x1024'
        return f'bisenetv1/bisenetv1_r{size}-d32_4xb4-160k_{data}.py'
    folder, name = {'isa': ('isanet',) * 2, 'ocr': ('ocrnet',) * 2, 'fcn': ('hrnet', 'fcn')}.get(
        entry.method, (entry.method,) * 2
    )
    backbone = f'r{size}-d8' if entry.backbone.startswith('resnet') else f'hr{size}'
    return f'{folder}/{name}_{backbone}_4xb2-40k_cityscapes-512x1024.py'


@cache
def stock_layout(config: str, num_classes: int) -> variants.Layout:
    init_default_scope('mmseg')
    model = Config.fromfile(STOCK / config).model
    model.pretrained = None
    for part in ('decode_head', 'auxiliary_head'):
        heads = model.get(part) or []
        for head in heads if isinstance(heads, list) else [heads]:
            head.num_classes = num_classes
    with torch.device('meta'):
        return {k: tuple(v.shape) for k, v in MODELS.build(model).state_dict().items()}


def stored_name(entry: Entry) -> str:
    """The stored network with the layers of an entry's."""
    if entry.source == 'hrnet_ocr':
        return (
            'seg_hrnet_ocr_w48_cityscapes' if entry.method == 'ocr' else 'seg_hrnet_w48_cityscapes'
        )
    if entry.source == 'nvidia':
        return 'hrnet_ocr_mscale' if 'Mscale' in entry.file else 'hrnet_ocr'
    if entry.source == 'paddleseg':
        if entry.method in ('ocr', 'fcn'):
            # one size of FCN is stored: the other has another width
            width = entry.backbone if entry.method == 'ocr' else 'hrnet18'
            return f'{entry.method.replace("ocr", "ocrnet")}_{width.replace("hrnet", "hrnet_w")}'
        names = {
            'isa': 'isanet_resnet50_vd_os8',
            'hmsa': f'mscale_ocrnet_hrnet_w48_{"psa" if "psa" in entry.backbone else "nv"}',
        }
        return names.get(entry.method, f'{entry.method}_resnet50_vd')
    if entry.method == 'segfix':
        return f'segfix_{entry.backbone}'
    name = OPENSEG[entry.method]
    return 'hrnet_w48_ocr' if (entry.method, entry.backbone) == ('ocr', 'hrnet48') else name


def published(entry: Entry) -> variants.Layout:
    """Names and shapes in the file of an entry."""
    if entry.source == 'mmseg':
        return stock_layout(stock_config(entry), entry.classes)
    if entry.source == 'pytorchcv':
        return variants.zoo_network(
            ZOO_HEADS[entry.method], depth=101, kind='v1s', has_jpu='jpu' in entry.config,
            has_auxiliary=entry.method != 'bisenet', num_classes=entry.classes,
        )  # fmt: skip
    name = stored_name(entry)
    shapes = variants.layout(entry.source, name)
    if entry.classes is not None:
        shapes = variants.with_classes(
            shapes, variants.classes_of(entry.source, name), entry.classes
        )
    if (entry.source, entry.method, entry.backbone) == ('paddleseg', 'fcn', 'hrnet48'):
        shapes = variants.with_width(shapes, 48, old=18)
    if entry.backbone == 'resnet101vd':
        shapes = variants.with_depth(shapes, 101, ('backbone.bb_1_{}.', 'backbone.bb_2_{}.'))
    if 'torch04' in entry.file:
        shapes = variants.without_counters(shapes)
    if 'iabn' in entry.config:
        shapes = variants.in_other_norm_layout(shapes)
    return shapes


def can_be_made(entry: Entry) -> bool:
    """Whether the networks that it is made from are there."""
    names = [name for family, name in catalog.files() if family == entry.source]
    if entry.source == 'mmseg':
        return True
    if entry.source == 'pytorchcv':
        return any('_jpu' in name for name in names)
    return stored_name(entry) in names


MADE = [entry for entry in DIFFERENT.values() if can_be_made(entry)]


def test_some_entries_are_what_the_converter_finds(subtests):
    for entry in MADE:
        if entry.name in QUICK:
            with subtests.test(entry.name):
                check_entry(entry)


@pytest.mark.slow
@pytest.mark.parametrize('method', sorted({entry.method for entry in MADE}))
def test_every_other_entry_is_what_the_converter_finds(method, subtests):
    for entry in MADE:
        if entry.method == method and entry.name not in QUICK:
            with subtests.test(entry.name):
                check_entry(entry)


def check_entry(entry: Entry) -> None:
    conversion = convert(variants.filled(published(entry)))
    assert (conversion.source.name, conversion.method) == (entry.source, entry.method)
    assert conversion.backbone == entry.backbone
    if entry.method == 'segfix':
        assert (conversion.num_classes, entry.classes) == (8, None)
    else:
        assert conversion.num_classes == entry.classes
    model = built_model(entry)
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    assert {k: tuple(v.shape) for k, v in conversion.state_dict.items()} == shapes
    if 'iabn' in entry.config or entry.source != 'openseg':  # others: nobody says which layout
        assert computed_size(entry) == entry.numbers
    if entry.backbone != 'hrnet48' or '_lip' not in entry.name:
        assert not _differences(model, conversion)


@in_one_test('entry', BACKBONES, ids=lambda entry: entry.name)
def test_backbone_is_what_the_converter_finds_and_fills_the_backbone(entry):
    backbone = built_model(entry).backbone
    shapes = {name: tuple(value.shape) for name, value in backbone.state_dict().items()}
    conversion = convert(variants.filled({**shapes, 'fc.weight': (1000, 2048)}))
    assert conversion.is_backbone
    assert (conversion.source.name, conversion.backbone) == (entry.source, entry.backbone)
    assert {k: tuple(v.shape) for k, v in conversion.state_dict.items()} == shapes
    assert set(conversion.dropped) == {'fc.weight'}
    assert entry.numbers == computed_size(entry)


# millions of parameters and running statistics, from mmseg's own classes
STOCK_SIZES = {'ocrnet_hr18s': 6.40, 'ocrnet_hr18': 12.12, 'ocrnet_hr48': 70.46,
               'ocrnet_r101-d8': 55.63, 'isanet_r50-d8': 37.77, 'fcn_hr18': 9.68,
               'fcn_hr48': 65.94, 'danet_r50-d8': 49.90, 'ccnet_r50-d8': 49.88,
               'pspnet_r50-d8': 49.03, 'deeplabv3_r50-d8': 68.17,
               'bisenetv1_r18-d32': 13.44, 'fastfcn_r50-d32_jpu_psp': 68.79}  # fmt: skip


@in_one_test(('start', 'millions'), STOCK_SIZES.items())
def test_sizes_are_those_of_mmsegs_own_models(start, millions):
    found = [e for e in entries() if re.match(rf'{start}_.*cityscapes', e.name)]
    assert found
    for entry in found:
        assert entry.numbers / 1e6 == pytest.approx(millions, abs=0.02)


def test_every_entry_has_a_size_and_the_lines_of_the_file_are_as_written():
    assert all(entry.numbers for entry in entries())
    sizes_before = PATH.read_text(encoding='utf-8')
    assert sizes_before.count('\n') == len(entries()) + 2


def test_list_and_show_say_the_size(capsys):
    entry = find('ocrnet_hr48_512x1024_160k_cityscapes')
    main(['list', entry.name])
    assert ' 282 MB ' in capsys.readouterr().out
    main(['show', entry.name])
    assert 'about 281.9 MB: 70.46 million numbers (computed)' in capsys.readouterr().out
