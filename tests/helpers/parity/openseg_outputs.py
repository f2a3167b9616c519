"""What openseg's networks recorded, from ours.

Beside the names of :mod:`.reference_run`: ``sa_ctx`` is the context of an attention between pixels
(``sa_ctx1`` that of a second window size), ``isa_long`` and ``isa_short`` its two steps in groups
(N * groups, C, rows, columns); CE2P's first map is ``dec_seg_low`` and ``seg1_up``, and its
``feat`` the context in front of the decoder.
"""

import re
from contextlib import nullcontext

import numpy as np
import torch
import torch.nn.functional as F
from parity import recipe_text, reference_run, stored

from openseg_plugin.converters.checkpoints import Conversion
from openseg_plugin.converters.checkpoints import openseg as source
from openseg_plugin.layers.interlaced_attention import InterlacedAttention, group_pixels, padding_of
from openseg_plugin.layers.object_context import RegionAttention
from openseg_plugin.layers.resize import resize_bilinear

UPSAMPLED = {
    'seg_up': 'seg_low',
    'aux_up': 'aux_low',
    'seg1_up': 'dec_seg_low',
    'edge_up': 'edge_low',
}


def errors(fixture: stored.Stored, conversion: Conversion) -> dict[str, float]:
    """Error of every recorded output."""
    meta = fixture.meta
    conversion = _as_named(fixture, conversion)
    model = reference_run.build(conversion, **_options(meta, conversion))
    found = {}
    for run, given in meta['evals'].items():
        image = stored.image(given['input_shape'], given['input_seed'])
        seen = record(model, image, _labels(given, meta['num_classes']))
        for output, value in fixture.outputs.items():
            if output.startswith(f'{run}.'):
                actual = seen[output.removeprefix(f'{run}.')]
                step = recipe_text.channel_step(meta['outputs'][output])
                found[output] = stored.error(actual[:, ::step], value)
    return found


def _as_named(fixture: stored.Stored, conversion: Conversion) -> Conversion:
    """The conversion into the network that ran, where another one has the same weights."""
    name = fixture.meta['model_key']
    if name == conversion.source.network:
        return conversion
    assert not source.NETWORKS[name].is_guessed, f'{name} was taken for {conversion.source}'
    weights = stored.state_dict(fixture)
    return source.convert(
        {k: v.astype('float64') if v.dtype.kind == 'f' else v for k, v in weights.items()}, name
    )


def _options(meta: dict, conversion: Conversion) -> dict:
    """Options of the run that no weight tells."""
    options = {}
    if 'resnet' in meta['backbone']:
        dilated = re.search(r'_dilated(\d+)', meta['backbone'])
        options['backbone__output_stride'] = int(dilated[1]) if dilated else 32
        options['backbone__multi_grid'] = tuple(meta.get('multi_grid') or (1, 1, 1))
    if conversion.method == 'isa':
        options['decode_head__windows'] = meta['down_factors']
    return options


def _labels(given: dict, num_classes: int) -> torch.Tensor | None:
    """The label map that a network of ground-truth OCR was given."""
    if 'labels' not in given:
        return None
    fraction, block = re.search(r'ignore_share=([\d.]+), block=(\d+)', given['labels']).groups()
    batch, _, *size = given['input_shape']
    return torch.from_numpy(
        stored.labels(
            (batch, *size),
            num_classes,
            given['input_seed'],
            ignored_fraction=float(fraction),
            block=int(block),
        )
    )


@torch.no_grad()
def record(
    model: torch.nn.Module, image: np.ndarray, labels: torch.Tensor | None
) -> dict[str, np.ndarray]:
    """Everything that can be recorded for an image (N, 3, H, W)."""
    inputs, head = torch.from_numpy(image).double(), model.decode_head
    seen: dict[str, torch.Tensor] = {}
    feats = []
    recorders = [*reference_run.backbone_recorders(model.backbone), *_recorders(model)]
    hooks = [module.register_forward_hook(recorder(seen)) for module, recorder in recorders]
    hooks.append(model.backbone.register_forward_hook(lambda _, __, maps: feats.extend(maps)))
    with nullcontext() if labels is None else head.shown(labels):
        seen['seg_up'] = model.inference(inputs)
    if model.with_auxiliary_head:
        seen['aux_low'] = model.auxiliary_head(feats)
    for hook in hooks:
        hook.remove()
    for full, low in UPSAMPLED.items():
        if low in seen:
            seen[full] = resize_bilinear(
                seen[low], inputs.shape[2:], align_corners=model.align_corners
            )
    return {name: value.numpy() for name, value in seen.items()}


def _recorders(model: torch.nn.Module):
    """(module, factory of a hook) for the parts of the decode head."""
    head = model.decode_head
    yield head, lambda seen: lambda _, __, out: seen.update(_logits(out))
    if hasattr(head, 'decoder'):
        yield head.context_block, lambda seen: lambda _, __, out: seen.update(feat=out)
    else:
        yield head.conv_seg, lambda seen: lambda _, given, __: seen.update(feat=given[0])
    for module in head.modules():
        if isinstance(module, RegionAttention):
            yield module, lambda seen: lambda m, given, out: seen.update(_object(m, given, out))
    for index, relation in enumerate(getattr(head, 'relations', [])):
        name = f'sa_ctx{index or ""}'
        yield relation, lambda seen, name=name: lambda _, __, out: seen.update({name: out})
    if hasattr(head, 'relations'):
        yield head.relations[0], lambda seen: lambda m, given, _: seen.update(_steps(m, given[0]))
    attention = getattr(head, 'self_attention', None)
    if hasattr(getattr(head, 'asp', None), 'self_attention'):
        attention = head.asp.self_attention
    if attention is not None:
        yield attention, lambda seen: lambda _, __, out: seen.update(sa_ctx=out)


def _logits(out) -> dict[str, torch.Tensor]:
    names = {1: ('seg_low',), 2: ('aux_low', 'seg_low')}
    names[4] = ('dec_seg_low', 'edge_low', 'aux_low', 'seg_low')
    out = out if isinstance(out, tuple) else (out,)
    return dict(zip(names[len(out)], out))


def _object(module: RegionAttention, given: tuple, out: torch.Tensor) -> dict[str, torch.Tensor]:
    found = reference_run.context_of(module, given[:2], out)
    found.pop('feat')
    return found


def _steps(relation: InterlacedAttention, feats: torch.Tensor) -> dict[str, torch.Tensor]:
    """Both attentions one after the other; the module itself leaves out what lies between."""
    padded = F.pad(feats, padding_of(feats.shape[2:], relation.window))
    far = relation.global_relation(padded)
    near = relation.local_relation(far)
    return {
        'isa_long': _groups(relation.global_relation, far),
        'isa_short': _groups(relation.local_relation, near),
    }


def _groups(module: torch.nn.Module, maps: torch.Tensor) -> torch.Tensor:
    """A padded map as the batch of small maps that the attention saw."""
    rows, columns = maps.shape[2:]
    assert not any(padding_of((rows, columns), module.window))
    grouped = group_pixels(maps, module.window, reach=module.reach).flatten(0, 1)
    inner = module.window
    if module.reach == 'long':
        inner = (rows // module.window[0], columns // module.window[1])
    return grouped.transpose(1, 2).unflatten(2, inner)
