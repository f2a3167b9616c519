"""Key tables of the networks of openseg.pytorch, one function per network.

``norm`` is what follows the index of a normalization in the file: '' for in-place ABN, '.0' where
BatchNorm and ReLU are a pair.
"""

from collections.abc import Iterator

from openseg_plugin.converters.checkpoints import networks
from openseg_plugin.converters.checkpoints.keys import Bias, LayerMapping, conv_module

HEAD = 'decode_head'
AUXILIARY = 'auxiliary_head'


def _conv(source: str, target: str, *, norm: str, bias: Bias = Bias.NONE) -> LayerMapping:
    """Convolution ``source.0`` with its normalization ``source.1``."""
    return conv_module(f'{source}.0', target, f'{source}.1{norm}', bias=bias)


def _auxiliary(
    source: str, norm: str, *, bias: Bias, seg: str, seg_bias: Bias
) -> Iterator[LayerMapping]:
    """A 3x3 convolution and a classifier of their own."""
    yield _conv(source, f'{AUXILIARY}.convs.0', norm=norm, bias=bias)
    yield LayerMapping(f'{source}.{seg}', f'{AUXILIARY}.conv_seg', bias=seg_bias)


def hrnet_w48(norm: str) -> Iterator[LayerMapping]:
    yield _conv('cls_head', f'{HEAD}.convs.0', norm=norm, bias=Bias.KEEP)
    yield LayerMapping('cls_head.3', f'{HEAD}.conv_seg', bias=Bias.ZERO)


def fcnet(norm: str) -> Iterator[LayerMapping]:
    yield from hrnet_w48(norm)
    yield from _auxiliary('dsn_head', norm, bias=Bias.KEEP, seg='3', seg_bias=Bias.ZERO)


def _region(
    source: str, norm: str, *, seg: str, bias: Bias, seg_bias: Bias
) -> Iterator[LayerMapping]:
    """The branch that scores the regions."""
    yield _conv(source, f'{HEAD}.region_conv', norm=norm, bias=bias)
    yield LayerMapping(f'{source}.{seg}', f'{HEAD}.region_seg', bias=seg_bias)


def _ocr(
    norm: str, *, pixels: str, context: str, classifier: str, region: str, region_seg: str
) -> Iterator[LayerMapping]:
    """OCR networks, whose modules only differ in their names."""
    yield from _region(region, norm, seg=region_seg, bias=Bias.KEEP, seg_bias=Bias.KEEP)
    yield _conv(pixels, f'{HEAD}.bottleneck', norm=norm, bias=Bias.KEEP)
    yield from networks.spatial_ocr(
        context, f'{HEAD}.object_context_block', norm=norm, bias=Bias.KEEP
    )
    yield LayerMapping(classifier, f'{HEAD}.conv_seg', bias=Bias.KEEP)


def hrnet_w48_ocr(norm: str) -> Iterator[LayerMapping]:
    return _ocr(
        norm,
        pixels='conv3x3',
        context='ocr_distri_head',
        classifier='cls_head',
        region='aux_head',
        region_seg='2',
    )


def spatial_ocrnet(norm: str) -> Iterator[LayerMapping]:
    return _ocr(
        norm,
        pixels='conv_3x3',
        context='spatial_ocr_head',
        classifier='head',
        region='dsn_head',
        region_seg='3',
    )


def _asp_ocr(norm: str, target: str) -> Iterator[LayerMapping]:
    """The module ``asp_ocr_head``."""
    source = 'asp_ocr_head'
    yield _conv(f'{source}.context', f'{target}.context_conv', norm=norm, bias=Bias.KEEP)
    yield from networks.object_attention(
        f'{source}.context.2', f'{target}.object_attention', norm=norm, bias=Bias.KEEP
    )
    for index in range(4):
        branch = f'{target}.branches.convs.{index}'
        yield _conv(f'{source}.conv{index + 2}', branch, norm=norm, bias=Bias.KEEP)
    yield _conv(
        f'{source}.conv_bn_dropout', f'{target}.branches.bottleneck', norm=norm, bias=Bias.KEEP
    )


def hrnet_w48_asp_ocr(norm: str) -> Iterator[LayerMapping]:
    yield from _region('aux_head', norm, seg='2', bias=Bias.KEEP, seg_bias=Bias.ZERO)
    yield from _asp_ocr(norm, f'{HEAD}.asp')
    yield LayerMapping('cls_head', f'{HEAD}.conv_seg', bias=Bias.ZERO)


def spatial_asp_ocrnet(norm: str) -> Iterator[LayerMapping]:
    yield from _region('dsn_head', norm, seg='3', bias=Bias.KEEP, seg_bias=Bias.KEEP)
    yield from _asp_ocr(norm, f'{HEAD}.asp')
    yield LayerMapping('head', f'{HEAD}.conv_seg', bias=Bias.KEEP)


def _projections(source: str, target: str, *, norm: str, bias: Bias) -> Iterator[LayerMapping]:
    """Queries and keys of an attention between pixels."""
    for theirs, ours in (('f_key', 'key_project'), ('f_query', 'query_project')):
        for index in (0, 1):
            conv, its_norm = f'{source}.{theirs}.{2 * index}', f'{2 * index + 1}{norm}'
            yield conv_module(
                conv, f'{target}.{ours}.{index}', f'{source}.{theirs}.{its_norm}', bias=bias
            )


def base_ocnet(norm: str) -> Iterator[LayerMapping]:
    attention, source = f'{HEAD}.self_attention', 'oc_module.stages.0'
    yield _conv('oc_module_pre', f'{HEAD}.in_conv', norm=norm, bias=Bias.KEEP)
    yield from _projections(source, attention, norm=norm, bias=Bias.KEEP)
    yield LayerMapping(f'{source}.f_value', f'{attention}.value_project', bias=Bias.KEEP)
    yield LayerMapping(f'{source}.W', f'{attention}.output_project', bias=Bias.KEEP)
    yield _conv('oc_module.conv_bn_dropout', f'{HEAD}.bottleneck', norm=norm, bias=Bias.KEEP)
    yield LayerMapping('cls', f'{HEAD}.conv_seg', bias=Bias.KEEP)
    yield from _auxiliary('dsn', norm, bias=Bias.KEEP, seg='2', seg_bias=Bias.KEEP)


def asp_ocnet(norm: str) -> Iterator[LayerMapping]:
    asp = f'{HEAD}.asp'
    context, attention = 'context.2.context', f'{asp}.self_attention'
    yield _conv('context', f'{HEAD}.in_conv', norm=norm, bias=Bias.KEEP)
    yield _conv(context, f'{asp}.context_conv', norm=norm, bias=Bias.KEEP)
    yield from _projections(f'{context}.2.stages.0', attention, norm=norm, bias=Bias.KEEP)
    yield LayerMapping(
        f'{context}.2.stages.0.f_value', f'{attention}.value_project', bias=Bias.KEEP
    )
    # the normalization has no convolution of its own: the resize stands between it and W
    yield LayerMapping(
        f'{context}.2.stages.0.W',
        f'{attention}.output_project',
        f'{context}.2.conv_bn_dropout.0{norm}',
        f'{asp}.context_norm.0',
        bias=Bias.KEEP,
    )
    for index in range(4):
        yield _conv(f'context.2.conv{index + 2}', f'{asp}.branches.convs.{index}', norm=norm)
    yield _conv('context.2.conv_bn_dropout', f'{asp}.branches.bottleneck', norm=norm)
    yield LayerMapping('cls', f'{HEAD}.conv_seg', bias=Bias.KEEP)
    yield from _auxiliary('dsn', norm, bias=Bias.KEEP, seg='2', seg_bias=Bias.KEEP)


def isanet(norm: str, stages: int = 1) -> Iterator[LayerMapping]:
    source = 'isa_head.2'
    yield _conv('isa_head', f'{HEAD}.in_conv', norm=norm)
    for stage in range(stages):
        for theirs, ours in (('long_range_sa', 'global'), ('short_range_sa', 'local')):
            attention = f'{source}.stages.{stage}.{theirs}'
            target = f'{HEAD}.relations.{stage}.{ours}_relation'
            yield from _projections(attention, target, norm=norm, bias=Bias.NONE)
            yield LayerMapping(f'{attention}.f_value', f'{target}.value_project')
            yield _conv(f'{attention}.W', f'{target}.output_project', norm=norm)
    if stages > 1:
        yield _conv(f'{source}.up_conv', f'{HEAD}.up_conv', norm=norm)
    yield _conv(f'{source}.conv_bn', f'{HEAD}.out_conv', norm=norm)
    yield LayerMapping('cls_head', f'{HEAD}.conv_seg', bias=Bias.KEEP)
    yield from _auxiliary('dsn_head', norm, bias=Bias.NONE, seg='3', seg_bias=Bias.KEEP)


def _ce2p(norm: str) -> Iterator[LayerMapping]:
    """CE2P without its context module."""
    yield from _region('dsn', norm, seg='3', bias=Bias.NONE, seg_bias=Bias.KEEP)
    for index in range(3):
        yield _conv(f'edgelayer.conv{index + 1}', f'{HEAD}.edge_branch.convs.{index}', norm=norm)
    yield LayerMapping('edgelayer.conv4', f'{HEAD}.edge_branch.score', bias=Bias.KEEP)
    yield LayerMapping('edgelayer.conv5', f'{HEAD}.edge_branch.fuse', bias=Bias.KEEP)
    decoder = f'{HEAD}.decoder'
    yield _conv('decoder.conv1', f'{decoder}.context_conv', norm=norm)
    yield _conv('decoder.conv2', f'{decoder}.detail_conv', norm=norm)
    yield _conv('decoder.conv3', f'{decoder}.fuse.0', norm=norm)
    yield conv_module('decoder.conv3.2', f'{decoder}.fuse.1', f'decoder.conv3.3{norm}')
    yield LayerMapping('decoder.conv4', f'{HEAD}.decoder_conv_seg', bias=Bias.KEEP)
    yield _conv('cls', f'{HEAD}.bottleneck', norm=norm)
    yield LayerMapping('cls.2', f'{HEAD}.conv_seg', bias=Bias.KEEP)


def ce2p_asp_ocrnet(norm: str) -> Iterator[LayerMapping]:
    yield from _ce2p(norm)
    yield from _asp_ocr(norm, f'{HEAD}.context_block')


def ce2p_ocrnet(norm: str) -> Iterator[LayerMapping]:
    yield from _ce2p(norm)
    yield from networks.spatial_ocr(
        'spatial_ocr_head', f'{HEAD}.context_block', norm=norm, bias=Bias.KEEP
    )
