"""Networks that nobody stored: recognized, converted, and the whole of the model of their config.

Layouts come from the stored ones by the rules of the projects (``network_variants``); models are
built without memory for their weights.
"""

import itertools

import network_variants as variants
import numpy as np
import pytest
import torch
from in_one_test import in_one_test
from mmengine.config import Config
from mmengine.registry import init_default_scope
from parity import catalog

from openseg_plugin.converters.checkpoints import convert, identify
from openseg_plugin.errors import CheckpointError
from openseg_plugin.paths import config_path
from openseg_plugin.registry import MODELS

SIZE = (97, 131)  # of an image, in pixels
RESNET = ('backbone.layer2.{}.', 'backbone.layer3.{}.')
RESNET_VD = ('backbone.bb_1_{}.', 'backbone.bb_2_{}.')
SAME_WEIGHTS = {'ideal_spatial_ocrnet': 'spatial_ocrnet', 'ideal_gather_ocrnet': 'spatial_ocrnet',
                'ideal_spatial_ocrnet_c': 'spatial_ocrnet', 'ce2p_ideal_ocrnet': 'ce2p_ocrnet',
                'ideal_distribute_ocrnet': 'spatial_ocrnet'}  # fmt: skip
QUICK = {('openseg', 'spatial_ocrnet'), ('jpu_zoo', 'fcn')}


def stored_networks(*families: str) -> list:
    """Names of the networks of these families; few of them without --slow."""
    return [
        pytest.param(*key, id='/'.join(key), marks=[] if key in QUICK else [pytest.mark.slow])
        for key in catalog.files()
        if key[0] in families and catalog.kind(*key) == 'network'
    ]


@torch.no_grad()
def assert_is_whole(conversion, num_classes: int) -> torch.nn.Module:
    """The weights fill the model of the config to the last entry, and it runs."""
    assert conversion.num_classes == num_classes
    init_default_scope('mmseg')
    cfg = Config.fromfile(config_path(conversion.config))
    cfg.merge_from_dict(dict(conversion.cfg_options))
    with torch.device('meta'):
        model = MODELS.build(cfg.model).eval()
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in conversion.state_dict.items()}
    assert found == shapes
    if 'Oracle' in type(model).__name__:
        return model  # reads labels
    image = torch.empty(1, 3, *SIZE, device='meta')
    if conversion.method == 'segfix':
        assert model.decode_head(model.extract_feat(image))[1].shape[1] == num_classes
    else:
        assert model.inference(image).shape == (1, num_classes, *SIZE)
    return model


def network_name(family: str, name: str) -> str:
    meta = variants.stored.read(catalog.files()[family, name], family).meta
    return SAME_WEIGHTS.get(meta['model_key'], meta['model_key'])


@pytest.mark.parametrize(('family', 'name'), stored_networks('openseg'))
@in_one_test('is_other', [False, True], ids=['sizes', 'layout'])
def test_openseg_in_other_sizes_and_the_other_norm_layout(family, name, is_other):
    shapes, classes = variants.layout(family, name), variants.classes_of(family, name)
    had_counters = any(key.endswith(variants.COUNTER) for key in shapes)
    num_classes = 59 if is_other else 7
    if name.startswith('segfix'):
        num_classes = 32 if is_other else 4  # directions
    shapes = variants.with_classes(shapes, classes, num_classes)
    is_resnet = 'backbone.layer4.0.conv3.weight' in shapes
    if is_other:
        shapes = variants.in_other_norm_layout(shapes)
    if is_resnet:
        depth = 152 if is_other else 50
        backbone = f'resnet{depth}'
        shapes = variants.with_depth(shapes, depth, RESNET)
    elif 'hrnet2x' in name:
        backbone = 'hrnet2x20'
    else:
        width = 64 if is_other else 18
        backbone = f'hrnet{width}'
        shapes = variants.with_width(shapes, width)
    weights = variants.filled({f'module.{key}': shape for key, shape in shapes.items()})
    conversion = convert({'state_dict': weights, 'config_dict': {}})
    expected = network_name(family, name)
    assert conversion.source.name == 'openseg'
    assert conversion.source.network.removesuffix('2x') == expected
    assert conversion.backbone == backbone
    assert conversion.norm_layout == ('inplace_abn' if had_counters is is_other else 'batchnorm')
    assert_is_whole(conversion, num_classes)


@pytest.mark.parametrize(('family', 'name'), stored_networks('openseg'))
@in_one_test('depth', [50, 101])
def test_openseg_without_deepbase_has_a_single_convolution_as_stem(family, name, depth):
    shapes = variants.layout(family, name)
    if 'backbone.resinit.conv3.weight' not in shapes:
        assert name.startswith(('hrnet', 'segfix'))
        return
    shapes = variants.with_single_stem(shapes, stem='backbone.resinit.', first='backbone.layer1.0.')
    conversion = convert(variants.filled(variants.with_depth(shapes, depth, RESNET)))
    assert conversion.source.network == network_name(family, name)
    assert conversion.assumed.startswith('output stride ')
    assert ('windows of 8x8' in conversion.assumed) is ('isanet' in name)
    has_twins = conversion.source.network in ('spatial_ocrnet', 'ce2p_ocrnet')
    assert ('with the same weights' in conversion.assumed) is has_twins
    model = assert_is_whole(conversion, variants.classes_of(family, name))
    assert model.backbone.conv1.kernel_size == (7, 7)
    assert model.backbone.maxpool.ceil_mode


@pytest.mark.parametrize(('family', 'name'), stored_networks('hrnet_ocr'))
@in_one_test(('width', 'classes', 'prefix'), [(18, 1, 'model.'), (32, 60, '')])
def test_hrnet_ocr_in_other_sizes(family, name, width, classes, prefix):
    shapes = variants.with_classes(
        variants.layout(family, name), variants.classes_of(family, name), classes
    )
    shapes = variants.without_counters(variants.with_width(shapes, width))
    conversion = convert(variants.filled({prefix + key: shape for key, shape in shapes.items()}))
    assert conversion.source.name == family
    assert (conversion.backbone, conversion.norm_layout) == (f'hrnet{width}', 'inplace_abn')
    assert_is_whole(conversion, classes)


ATTENTION = {
    'published': {},
    'no3x3': {'conv1': None, 'bn1': None},
    'old_arch': {'conv0': '0', 'bn0': '1', 'conv1': '3', 'bn1': '4', 'conv2': '6'},
    'old_arch_no3x3': {'conv0': '0', 'bn0': '1', 'conv1': None, 'bn1': None, 'conv2': '3'},
}


def with_attention(shapes: variants.Layout, names: dict) -> variants.Layout:
    """The head between scales as another option of NVIDIA's code names it."""
    changed = {}
    for name, shape in shapes.items():
        part, _, rest = name.removeprefix('scale_attn.').partition('.')
        if not name.startswith('scale_attn.'):
            changed[name] = shape
        elif names.get(part, part) is not None:
            changed[f'scale_attn.{names.get(part, part)}.{rest}'] = shape
    return changed


@pytest.mark.parametrize(('family', 'name'), stored_networks('nvidia'))
@in_one_test('attention', ATTENTION)
def test_nvidia_with_other_attention_heads_and_mapillarys_classes(family, name, attention):
    shapes = with_attention(variants.layout(family, name), ATTENTION[attention])
    shapes = variants.with_classes(shapes, 19, 65)
    conversion = convert(variants.filled({f'module.{key}': shape for key, shape in shapes.items()}))
    assert conversion.source.name == family
    model = assert_is_whole(conversion, 65)
    if any(key.startswith('scale_attn') for key in shapes):
        assert len(model.scale_attention.convs) == 2 - ('no3x3' in attention)


@in_one_test('heads', [
    ('scale_attn.conv0', 'cls_head.0'), ('aspp.features.0.0', 'bot_aspp', 'bot_fine', 'final.0'),
    ('aspp.features.0.0', 'bot_aspp', 'scale_attn.conv0'),
])  # fmt: skip
def test_nvidias_unpublished_networks_are_refused_by_their_modules(heads):
    names = [f'backbone.{name}' for name in ('conv1', 'stage4.0.branches.0.0.conv1')]
    weights = {f'module.{name}.weight': np.ones((4, 4, 1, 1)) for name in (*names, *heads)}
    modules = ', '.join(sorted(head.split('.')[0] for head in heads))
    with pytest.raises(CheckpointError, match=f'nvidia with the modules backbone, {modules}, whi'):
        convert(weights)


@pytest.mark.parametrize(('family', 'name'), stored_networks('paddleseg'))
@in_one_test('classes', [2, 21])
def test_paddleseg_in_other_sizes(family, name, classes):
    shapes = variants.with_classes(variants.layout(family, name), 19, classes)
    if 'resnet50' in name:
        shapes = variants.with_depth(shapes, 101 if classes == 2 else 50, RESNET_VD)
    elif 'w48' in name and 'psa' not in name and classes == 2:
        shapes = variants.with_width(shapes, 32)
    conversion = convert(variants.filled(shapes))
    assert conversion.source.name == family
    assert_is_whole(conversion, classes)


HEADS = ('fcn', 'psp', 'deeplab', 'danet', 'ccnet', 'ocnet_base', 'ocnet_asp')
KINDS = ('v1s', 'v1b', 'v1c', 'v1d', 'v1e')


def zoo_networks() -> dict[str, list[tuple]]:
    """Per head: (depth, kind of backbone, JPU, auxiliary head, classes), of all stored parts."""
    names = [name for family, name in catalog.files() if family == 'jpu_zoo']
    parts = {'jpu': any('_jpu' in name for name in names),
             'auxiliary': any(name.endswith(('_jpu', '_dilated')) for name in names)}  # fmt: skip
    options = itertools.product((False, True), (False, True))
    possible = [(jpu, aux) for jpu, aux in options if parts['jpu'] >= jpu and
                parts['auxiliary'] >= aux]  # fmt: skip
    sizes = itertools.cycle(itertools.product((50, 101, 152), KINDS, (19, 21, 150)))
    return {
        head: [(*next(sizes), jpu, aux) for jpu, aux in possible for _ in range(3)]
        for head in HEADS
        if any(name.startswith(head) for name in names)
    }


ZOO = zoo_networks()


@pytest.mark.parametrize(
    'head',
    [pytest.param(h, marks=[] if ('jpu_zoo', h) in QUICK else [pytest.mark.slow]) for h in ZOO],
)
def test_zoo_in_all_its_combinations(head, subtests):
    for combination in ZOO[head]:
        with subtests.test(str(combination)):
            check_zoo_network(head, *combination)


def check_zoo_network(head: str, depth: int, kind: str, classes: int, jpu: bool, aux: bool) -> None:
    shapes = variants.zoo_network(
        head, depth=depth, kind=kind, has_jpu=jpu, has_auxiliary=aux, num_classes=classes
    )
    conversion = convert(variants.filled(shapes))
    assert (conversion.source.name, conversion.source.network) == ('pytorchcv', head)
    assert conversion.backbone == f'resnet{depth}'
    model = assert_is_whole(conversion, classes)
    assert (model.with_neck, model.with_auxiliary_head) == (jpu, aux)
    assert model.backbone.deep_stem is (kind != 'v1b')
    assert model.backbone.avg_down is (kind in ('v1d', 'v1e'))


def test_zoo_has_no_other_head_on_its_small_backbone():
    weights = {'base1.0.weight': (64, 3, 7, 7), 'base3.0.conv1.weight': (512, 256, 3, 3),
               'head.block.0.weight': (512, 2048, 3, 3)}  # fmt: skip
    with pytest.raises(CheckpointError, match=r'fcn on resnet18 .*only bisenet'):
        convert(variants.filled(weights))


def test_unknown_network_on_a_known_backbone_is_of_nobody():
    names = ('backbone.conv1', 'backbone.stage4.0.branches.0.0.conv1', 'seg_head.0', 'other.1')
    assert identify({f'{name}.weight': np.ones((4, 4, 1, 1)) for name in names}) is None
