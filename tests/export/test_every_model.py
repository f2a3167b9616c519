"""Every head, neck, backbone and segmentor gives its numbers at every size when it is exported.

The networks come from the registry: one that is added and not listed here is a failure. Graphs are
recorded at one size with free batch, height and width, and compared at others: odd ones, larger
ones, and ones below the sides of pools and windows.
"""

import copy
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from random_norms import shuffle_norms
from torch import nn

import openseg_plugin.export
from openseg_plugin.errors import ConfigError
from openseg_plugin.export.graph import GraphOptions, InferenceGraph
from openseg_plugin.export.recording import as_module, record_network
from openseg_plugin.layers import resize
from openseg_plugin.layers.resize import exportable_forms
from openseg_plugin.models.heads import decode_head
from openseg_plugin.registry import MODELS

pytest.importorskip('onnxruntime', reason='the extra [export] is not installed')
BN = dict(type='BN')
WIDTHS, CLASSES = (4, 6, 8, 10), 5
RECORDED = (45, 61)
HEAD_SIZES = [RECORDED, (9, 9), (18, 24), (33, 10), (90, 121), (121, 71), (40, 64)]
NETWORK_SIZES = [(83, 107), (64, 96), (97, 33), (130, 201), (161, 79), (35, 64)]
TIMM_SIZES = [(83, 107), (65, 96), (97, 66), (130, 201), (161, 79), (128, 65)]
HEAD_TOLERANCE = 1e-5  # of the largest value
NETWORK_FACTOR = 10  # times torch's own error in float32 against float64
LAST = dict(in_channels=WIDTHS[-1], in_index=3, num_classes=CLASSES, norm_cfg=BN)
ALL = dict(in_channels=WIDTHS, in_index=(0, 1, 2, 3), num_classes=CLASSES, norm_cfg=BN)
REGION = dict(region=dict(channels=4))
ATTENTION = dict(key_channels=4, value_channels=4)
HEADS = {
    'ASPOCHead': [
        dict(LAST, channels=6, asp_channels=4, attention=dict(ATTENTION, pool_stride=2)),
        dict(
            LAST,
            channels=6,
            asp_channels=4,
            attention=dict(ATTENTION, pool_stride=2, key_convs=1, is_key_shared=True),
            with_in_conv=False,
            with_context_conv=True,
        ),
    ],
    'ASPOCRHead': [dict(LAST, channels=6, asp_channels=4, key_channels=4, **REGION)],
    'BaseOCHead': [dict(LAST, channels=6, attention=ATTENTION)],
    'CCHead': [dict(LAST, channels=16, recurrence=2)],
    'CE2PHead': [
        dict(
            ALL,
            channels=6,
            context=context,
            context_channels=4,
            asp_channels=4,
            key_channels=4,
            edge_channels=4,
            narrow_channels=4,
            **REGION,
        )
        for context in ('asp_ocr', 'ocr')
    ],
    'DAHead': [
        dict(LAST, channels=8, key_channels=4, normalize_over=over) for over in ('keys', 'queries')
    ],
    'DeepLabV3Head': [dict(LAST, channels=6), dict(LAST, channels=6, projection_dropout=0.5)],
    'DeepLabV3PlusHead': [dict(LAST, channels=6, skip_in_channels=WIDTHS[0], skip_channels=4)],
    'FCNHead': [dict(ALL, channels=6, input_transform='resize_concat')],
    'ISAHead': [
        dict(LAST, channels=6, key_channels=4, windows=((8, 8),)),
        dict(LAST, channels=6, key_channels=4, windows=((8, 8), (4, 4)), align_corners='top_left'),
    ],
    'OCRHead': [
        dict(ALL, channels=6, key_channels=4, input_transform='resize_concat', **REGION),
        dict(ALL, channels=6, key_channels=4, num_classes=1, **REGION)
        | dict(input_transform='resize_concat'),
    ],
    'PSPHead': [dict(LAST, channels=6), dict(LAST, channels=6, align_corners=True)],
    'ScaleAttentionHead': [dict(in_channels=WIDTHS[0], channels=4, norm_cfg=BN)],
    'SegFixHead': [dict(in_channels=WIDTHS, num_directions=8)],
}
NECKS = {'JPU': [dict(in_channels=WIDTHS[1:], channels=4, coarse_first=True)]}
TINY = dict(type='openseg_plugin.HRNet', width=4, num_modules=(1, 1, 1), num_blocks=1)
BACKBONES = {
    'BiSeNet': [dict(context=TINY, context_channels=(16, 32), channels=8)],
    'HRNet': [
        dict(TINY, same_padding=True),
        dict(TINY, align_corners=False, in_channels=3),
    ],
    'HRNet2x': [dict(width=4, num_modules=(1, 1, 1, 1), num_blocks=1)],
    'ResNet': [dict(depth=50)],
    'ResNetVd': [dict(depth=50)],
    'WideResNet38': [dict(width=4, num_blocks=(1,) * 6)],
}
TIMM = {
    'convnext': ('convnext_atto', dict(dims=(4, 8, 12, 16))),
    'efficientnet': ('tf_efficientnet_lite0', {}),
    'swin': (
        'swin_tiny_patch4_window7_224',
        dict(embed_dim=8, depths=(2, 1, 1, 1), num_heads=(1, 1, 2, 2)),
    ),
    'resnet': ('resnet10t', {}),
    'hrnet': ('hrnet_w18_small', {}),
    'vit': ('vit_tiny_patch16_224', dict(depth=3, embed_dim=12)),
    'hybrid': ('vit_tiny_r_s16_p8_224', dict(depth=3, embed_dim=12)),
}
# refused for any size, with a sentence: torch does not come to an end with their sizes
OF_ONE_SIZE = {'swin', 'hybrid'}
# what reads the labels of the image cannot be exported
ORACLES = {'OracleEncoderDecoder', 'OracleOCRHead'}
SEGMENTORS = {'EncoderDecoder', 'HierarchicalMultiScaleSegmentor', 'SegFix'}


class FourMaps(nn.Module):
    """Maps of ``WIDTHS`` channels, each half as large as the one before."""

    def __init__(self, bands: int = WIDTHS[0], *, first_stride: int = 1) -> None:
        super().__init__()
        widths = (bands, *WIDTHS)
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=2 if i else first_stride, padding=1)
            for i, (a, b) in enumerate(pairwise(widths))
        )

    def forward(self, x):
        maps = []
        for conv in self.convs:
            x = conv(x)
            maps.append(x)
        return maps


class OnMaps(nn.Module):
    """Heads and necks on :class:`FourMaps`, side by side: a graph costs more than what is in it."""

    def __init__(self, parts: list[tuple[str, dict]]) -> None:
        super().__init__()
        self.maps = FourMaps()
        self.parts = nn.ModuleList(
            MODELS.build(dict(type=f'openseg_plugin.{kind}', **options)) for kind, options in parts
        )

    def forward(self, images):
        maps = self.maps(images)
        found = []
        for part in self.parts:
            final = getattr(part, 'final_logits', part)
            reads_one = type(part).__name__ == 'ScaleAttentionHead'
            found += tensors(final(maps[0] if reads_one else maps))
        return tuple(found)


def tensors(found) -> tuple[torch.Tensor, ...]:
    return (found,) if isinstance(found, torch.Tensor) else tuple(found)


def record(network: nn.Module, images: torch.Tensor, *, dynamic: bool, smallest: int = 9):
    dims = {}
    if dynamic:
        dims[0] = torch.export.Dim('batch', min=1, max=64)
        for axis, name in ((2, 'height'), (3, 'width')):
            dims[axis] = torch.export.Dim(name, min=smallest, max=8192)
    return record_network(network, images, dims)


def published_operators() -> set[str]:
    path = Path(openseg_plugin.export.__file__).with_name('tensorrt_operators.txt')
    lines = path.read_text(encoding='ascii').splitlines()
    return {name for line in lines if not line.startswith('#') for name in line.split()}


def onnx_session(program):
    import onnxruntime

    from openseg_plugin.export.targets import quiet_exporter

    with quiet_exporter():
        model = torch.onnx.export(program, dynamo=True, opset_version=20, verbose=False).model_proto
    kinds = Counter(node.op_type for node in model.graph.node)
    strange = set(kinds) - published_operators()
    strange |= {kind for kind in kinds if kind.startswith('Sequence')}
    strange |= set(kinds) & {'ScatterND', 'Loop', 'Scan', 'If', 'SplitToSequence'}
    assert not strange, f'operators that TensorRT does not read, or loops: {strange}'
    assert not model.functions
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    settings.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), settings), len(model.graph.node)


def run(session, images: torch.Tensor) -> list[np.ndarray]:
    return session.run(None, {session.get_inputs()[0].name: images.numpy()})


def error_of(found, expected) -> float:
    """Largest difference, in the largest value."""
    worst = 0.0
    assert len(found) == len(expected)
    for one, other in zip(found, expected):
        one, other = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
        assert one.shape == other.shape, f'{one.shape} and not {other.shape}'
        worst = max(worst, float(np.abs(one - other).max() / np.abs(other).max()))
    return worst


@torch.no_grad()
def require_right_at_every_size(network, sizes, channels, *, factor=None, smallest=9):
    """``factor``: times the error of float32 that is allowed; None: of heads."""
    network = network.eval()
    exact = copy.deepcopy(network).double() if factor else None
    program = record(network, torch.randn(2, channels, *sizes[0]), dynamic=True, smallest=smallest)
    session, _ = onnx_session(program)
    module = as_module(program)
    faults = []
    for index, size in enumerate(sizes):
        for batch in (1, 3) if index == 0 else (1 if index % 2 else 3,):
            images = torch.randn(batch, channels, *size)
            expected = [one.numpy() for one in tensors(network(images))]
            tolerance = HEAD_TOLERANCE
            if exact is not None:
                truth = [one.numpy() for one in tensors(exact(images.double()))]
                tolerance = factor * error_of(expected, truth)
                expected = truth
            for name, call in (('torch.export', module), ('ONNX', None)):
                try:
                    found = run(session, images) if call is None else tensors(call(images))
                    error = error_of(found, expected)
                except Exception as fault:  # every runtime's own
                    faults.append(f'{name} at {size} x{batch}: {str(fault)[:300]}')
                    continue
                if not error <= tolerance:
                    faults.append(f'{name} at {size} x{batch}: {error:.1e} > {tolerance:.1e}')
    assert not faults, '\n'.join(faults)


@torch.no_grad()
def require_right_at_one_size(network, channels, *, factor=None, converts=False):
    """A graph of one size gives its numbers there, and has no more nodes where it is larger."""
    network = network.eval()
    images = torch.randn(1, channels, 128, 256)
    program = record(network, images, dynamic=False)
    expected = [one.numpy() for one in tensors(network(images))]
    truth, tolerance = expected, HEAD_TOLERANCE
    if factor:
        exact = copy.deepcopy(network).double()
        truth = [one.numpy() for one in tensors(exact(images.double()))]
        tolerance = factor * error_of(expected, truth)
    assert error_of(tensors(as_module(program)(images)), truth) <= tolerance
    if converts:
        session, _ = onnx_session(program)
        assert error_of(run(session, images), truth) <= tolerance
    large = record(network, torch.zeros(1, channels, 1024, 2048), dynamic=False)
    counts = [sum(n.op == 'call_function' for n in one.graph.nodes) for one in (program, large)]
    assert counts[1] <= counts[0], f'{counts} nodes at 128x256 and 1024x2048'


def registered() -> dict[str, type]:
    MODELS.import_from_location()
    return {
        name: kind
        for name, kind in MODELS.module_dict.items()
        if kind.__module__.startswith('openseg_plugin.')
    }


def test_every_network_of_the_registry_is_listed():
    places = ('.losses.', '.inference.', '.export.', '.data_preprocessor')
    networks = {
        name
        for name, kind in registered().items()
        if not any(place in f'{kind.__module__}.' for place in places)
    }
    listed = {*HEADS, *NECKS, *BACKBONES, *SEGMENTORS, *ORACLES, 'TimmBackbone'}
    assert networks == listed


class Maps(nn.Module):
    """Feature maps of a backbone, as a tuple."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images):
        return tensors(self.backbone(images))


class Outputs(nn.Module):
    """Boundary and direction logits of a SegFix network."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images):
        return self.model.outputs(images)


def backbone(kind: str, options: dict) -> nn.Module:
    torch.manual_seed(1)
    built = MODELS.build({**options, 'type': f'openseg_plugin.{kind}'})
    return Maps(shuffle_norms(built))


def timm_backbone(family: str) -> nn.Module:
    name, args = TIMM[family]
    return backbone('TimmBackbone', dict(model_name=name, timm_args=args))


@MODELS.register_module()
class FourMapsOfImages(FourMaps):
    """:class:`FourMaps` of images; backbones are tested on their own."""

    def __init__(self, bands: int) -> None:
        super().__init__(bands, first_stride=2)


def segmentor(kind: str, *, bands: int = 3, classes: int = CLASSES, **options) -> nn.Module:
    torch.manual_seed(1)
    widths = WIDTHS
    head = dict(HEADS['OCRHead'][0], type='openseg_plugin.OCRHead', in_channels=widths)
    head['num_classes'] = classes
    if kind == 'SegFix':
        head = dict(type='openseg_plugin.SegFixHead', in_channels=widths)
    model = dict(
        type=f'openseg_plugin.{kind}',
        backbone=dict(type='openseg_plugin.FourMapsOfImages', bands=bands),
        decode_head=head,
        data_preprocessor=dict(
            type='openseg_plugin.SegDataPreProcessor',
            mean=[100.0 + 5 * band for band in range(bands)],
            std=[50.0 + 3 * band for band in range(bands)],
            bgr_to_rgb=bands == 3,
            test_cfg=dict(size_divisor=8),
        ),
    )
    if kind.startswith('Hierarchical'):
        model['scale_attention'] = dict(
            type='openseg_plugin.ScaleAttentionHead', in_channels=6, channels=4, norm_cfg=BN
        )
    init_default_scope('mmseg')
    return shuffle_norms(MODELS.build(model | options))


class Labeller(nn.Module):
    """What is exported of a segmentor, on float images with scores as output."""

    def __init__(self, model: nn.Module, **options) -> None:
        super().__init__()
        made = GraphOptions(layout='float-nchw', output='logits', batch=None, **options)
        self.exported = InferenceGraph(model, made)  # ``graph`` is a name of torch's own

    def forward(self, images):
        return tensors(self.exported(60 * images + 120))


def on_maps(kinds: tuple[str, ...]) -> nn.Module:
    torch.manual_seed(1)
    known = HEADS | NECKS
    return shuffle_norms(OnMaps([(kind, one) for kind in kinds for one in known[kind]]))


# heads that share a graph; the others of each row with --slow
GROUPS = [
    ('PSPHead',),
    ('ASPOCHead', 'ASPOCRHead', 'BaseOCHead'),
    ('CCHead', 'DAHead'),
    ('CE2PHead',),
    ('DeepLabV3Head', 'DeepLabV3PlusHead', 'FCNHead', 'JPU'),
    ('ISAHead', 'OCRHead', 'ScaleAttentionHead', 'SegFixHead'),
]
NETWORKS = {
    **{(kind, i): (backbone, kind, o) for kind in BACKBONES for i, o in enumerate(BACKBONES[kind])},
    **{('TimmBackbone', family): (timm_backbone, family) for family in TIMM},
    ('SegFix', 0): (lambda: Outputs(segmentor('SegFix')),),
    ('EncoderDecoder', 'one-channel'): (lambda: Labeller(segmentor('EncoderDecoder', classes=1)),),
    ('EncoderDecoder', 'scales, flip, 5 bands'): (
        lambda: Labeller(segmentor('EncoderDecoder', bands=5), scales=(0.75, 1.0), flip=True),
    ),
    ('HierarchicalMultiScaleSegmentor', '0.5 1 2'): (
        lambda: Labeller(segmentor('HierarchicalMultiScaleSegmentor', scales=(0.5, 1.0, 2.0))),
    ),
    ('HierarchicalMultiScaleSegmentor', '0.5 1 1.5 exact'): (
        lambda: Labeller(
            segmentor('HierarchicalMultiScaleSegmentor', scales=(0.5, 1.0, 1.5), exact_ratio=True)
        ),
    ),
}


def test_every_head_and_neck_is_in_a_group():
    assert sorted(kind for group in GROUPS for kind in group) == sorted(HEADS | NECKS)


@pytest.mark.parametrize(
    'group',
    [pytest.param(one, marks=() if one == GROUPS[0] else pytest.mark.slow) for one in GROUPS],
    ids='-'.join,
)
def test_heads_are_right_at_every_size(group):
    network = on_maps(group)
    require_right_at_every_size(network, HEAD_SIZES, WIDTHS[0])
    require_right_at_one_size(network, WIDTHS[0])


@pytest.mark.slow
@pytest.mark.parametrize('case', NETWORKS, ids=lambda case: f'{case[0]}-{case[1]}')
def test_network_is_right_at_every_size(case):
    kind, variant = case
    if kind == 'TimmBackbone':
        pytest.importorskip('timm', reason='the extra [timm] is not installed')
    make, *args = NETWORKS[case]
    network = make(*args)
    bands = 5 if '5 bands' in str(variant) else 3
    # a scale of a half, and most of timm, see half as many pixels
    is_coarse = kind in ('TimmBackbone', 'HierarchicalMultiScaleSegmentor')
    sizes, smallest = (TIMM_SIZES, 65) if is_coarse else (NETWORK_SIZES, 33)
    if variant not in OF_ONE_SIZE:
        require_right_at_every_size(network, sizes, bands, factor=NETWORK_FACTOR, smallest=smallest)
    # where any size is, its own file is the fixed one's with names for sides
    converts = variant in OF_ONE_SIZE or kind == 'EncoderDecoder'
    require_right_at_one_size(network, bands, factor=NETWORK_FACTOR, converts=converts)


@pytest.mark.slow
def test_network_that_joins_its_maps_late_is_right_at_every_size(monkeypatch):
    monkeypatch.setattr(resize, '_WORK', 1)  # the maps of this network are narrow
    calls = []
    recorded = decode_head.recorded_conv_of_resized

    def noted(conv, maps, is_small, **options):
        calls.append(tuple(is_small))
        return recorded(conv, maps, is_small, **options)

    monkeypatch.setattr(decode_head, 'recorded_conv_of_resized', noted)
    network = Labeller(segmentor('EncoderDecoder'))
    require_right_at_every_size(network, NETWORK_SIZES, 3, factor=NETWORK_FACTOR, smallest=33)
    require_right_at_one_size(network, 3, factor=NETWORK_FACTOR, converts=True)
    assert set(calls) == {(False, False, True, True)}


@pytest.mark.parametrize('side', [5, 6, 7, 8, 9, 31])
def test_pools_that_round_up_are_those_of_torch(side):
    maps = torch.randn(2, 3, side, side + 1)
    pools = [
        nn.MaxPool2d(3, 2, 1, ceil_mode=True),
        nn.AvgPool2d(2, 2, ceil_mode=True),
        nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False),
        nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
        nn.AdaptiveAvgPool2d(3),
    ]
    network = nn.ModuleList(pools)
    expected = [pool(maps) for pool in pools]
    with exportable_forms(network):
        assert all('forward' in vars(pool) for pool in pools)
        found = [pool(maps) for pool in pools]
    for one, other in zip(found, expected):
        torch.testing.assert_close(one, other)
    assert not any('forward' in vars(pool) for pool in pools)


def test_networks_that_read_the_labels_are_refused_with_a_sentence():
    model = nn.Module()
    model.decode_head = MODELS.build(
        dict(LAST, type='openseg_plugin.OracleOCRHead', channels=6, key_channels=4, **REGION)
    )
    model.data_preprocessor = MODELS.build(dict(type='openseg_plugin.SegDataPreProcessor'))
    with pytest.raises(ConfigError, match='OracleOCRHead'):
        InferenceGraph(model, GraphOptions())
    with pytest.raises(ConfigError, match='SegFix'):
        InferenceGraph(segmentor('SegFix'), GraphOptions())
