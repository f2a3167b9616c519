"""MMSegmentation's heads and its BiSeNetV1: which layers they have.

Ours have mmseg's names, but for ISA, which holds one attention per window size.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from openseg_plugin.converters.checkpoints import networks
from openseg_plugin.converters.checkpoints.keys import Bias, Entry, Unit, conv_module

HEAD = 'decode_head'
AUXILIARY = 'auxiliary_head'
_ATTENTION = tuple(
    f'{relation}_relation.{part}'
    for relation in ('global', 'local')
    for part in ('key_project.0', 'key_project.1', 'query_project.0', 'query_project.1',
                 'output_project')
)  # fmt: skip


@dataclass(frozen=True)
class Head:
    """Layers of one decode head.

    Attributes:
        method: folder of its configs.
        modules: its convolutions with normalisation (mmcv's ``ConvModule``).
        plain: its convolutions with a bias and without normalisation, ``conv_seg`` apart.
        entries: what else it has.
        renamed: first part of a name -> ours.
        channels: width of what ``conv_seg`` classifies.
        auxiliary: prefixes of its auxiliary heads.
        other: further options -> (entry below the head, axis, usual size).
    """

    method: str
    modules: tuple[str, ...]
    plain: tuple[str, ...] = ()
    entries: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    channels: int = 512
    auxiliary: tuple[str, ...] = (AUXILIARY,)
    other: Mapping[str, tuple[str, int, int]] = field(default_factory=dict)

    @property
    def parts(self) -> set[str]:
        """First parts of the names below the head."""
        names = (*self.modules, *self.plain, *self.entries, 'conv_seg')
        return {name.partition('.')[0] for name in names}

    def units(self) -> Iterator[Unit | Entry]:
        """Table of the decode head and of its auxiliary heads."""
        for name in self.modules:
            yield mmcv_module(f'{HEAD}.{name}', f'{HEAD}.{self._ours(name)}')
        for name in (*self.plain, 'conv_seg'):
            yield Unit(f'{HEAD}.{name}', f'{HEAD}.{self._ours(name)}', bias=Bias.KEEP)
        for name in self.entries:
            yield Entry(f'{HEAD}.{name}', f'{HEAD}.{self._ours(name)}')
        for prefix in self.auxiliary:
            yield mmcv_module(f'{prefix}.convs.0', f'{prefix}.convs.0')
            yield Unit(f'{prefix}.conv_seg', f'{prefix}.conv_seg', bias=Bias.KEEP)

    def _ours(self, name: str) -> str:
        first, dot, rest = name.partition('.')
        return f'{self.renamed.get(first, first)}{dot}{rest}'


def mmcv_module(source: str, target: str) -> Unit:
    """A ``ConvModule`` on both sides."""
    return conv_module(f'{source}.conv', target, f'{source}.bn')


HEADS = {
    'isanet': Head(
        'isa',
        ('in_conv', *_ATTENTION, 'out_conv'),
        ('global_relation.value_project', 'local_relation.value_project'),
        renamed={
            'global_relation': 'relations.0.global_relation',
            'local_relation': 'relations.0.local_relation',
        },
        other={'key_channels': ('relations.0.global_relation.key_project.0.conv.weight', 0, 256)},
    ),
    'danet': Head(
        'danet',
        ('pam_in_conv', 'pam_out_conv', 'cam_in_conv', 'cam_out_conv'),
        (
            'pam.query_project',
            'pam.key_project',
            'pam.value_project',
            'pam_conv_seg',
            'cam_conv_seg',
        ),
        ('pam.gamma.scale', 'cam.gamma.scale'),
        other={'key_channels': ('pam.query_project.weight', 0, 64)},
    ),
    'ccnet': Head(
        'ccnet',
        ('convs.0', 'convs.1', 'conv_cat'),
        ('cca.query_conv', 'cca.key_conv', 'cca.value_conv'),
        ('cca.gamma.scale',),
    ),
    'pspnet': Head('pspnet', (*(f'psp_modules.{i}.1' for i in range(4)), 'bottleneck')),
    'deeplabv3': Head(
        'deeplabv3', ('image_pool.1', *(f'aspp_modules.{i}' for i in range(4)), 'bottleneck')
    ),
}
BISENET = Head(
    'bisenet', ('convs.0',), channels=256, auxiliary=(f'{AUXILIARY}.0', f'{AUXILIARY}.1')
)
BISENET_CONTEXT = 'context_path.backbone.'


def jpu() -> Iterator[Unit]:
    """Joint pyramid upsampling of FastFCN."""
    names = [f'conv_layers.{index}.0' for index in range(3)]
    for index in range(4):
        names += [f'dilation_layers.{index}.0.{part}_conv' for part in ('depthwise', 'pointwise')]
    for name in names:
        yield mmcv_module(f'neck.{name}', f'neck.joint.{name}')


def bisenet_trunk(prefix: str, *, depth: int) -> Iterator[Unit]:
    """mmseg's ``BiSeNetV1`` backbone, around a ResNet with one 7x7 convolution as stem."""
    context = prefix + BISENET_CONTEXT
    yield from networks.plain_resnet(context, context, depth=depth)
    names = [f'spatial_path.layer{i}' for i in range(1, 5)]
    for arm in ('arm16', 'arm32'):
        names += [f'context_path.{arm}.conv_layer', f'context_path.{arm}.atten_conv_layer.1']
    names += ['context_path.conv_head16', 'context_path.conv_head32', 'context_path.gap_conv.1']
    names += ['ffm.conv1', 'ffm.conv_atten.0']
    for name in names:
        yield mmcv_module(prefix + name, prefix + name)
