"""One pass of a converted network, with everything that the fixtures recorded on the way.

Names are openseg's: ``seg_low`` and ``aux_low`` are logits at head resolution, ``seg_up`` and
``aux_up`` at input size, ``feat`` what the classifier sees, ``object_ctx`` the region vectors
(N, C, K, 1), ``object_attn`` (N, H * W, K) the weights of the regions per pixel, ``backbone<i>``
the backbone's maps (for ResNets after the stem, the pool and each layer).
"""

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from parity import stored

from openseg_plugin.converters.checkpoints import Conversion, convert
from openseg_plugin.layers.resize import resize_bilinear
from openseg_plugin.paths import config_path
from openseg_plugin.registry import MODELS


def converted(fixture: stored.Stored) -> Conversion:
    """In float64: |weight| + 1e-5 of in-place ABN must not be rounded to float32."""
    weights = stored.state_dict(fixture)
    return convert(
        {k: v.astype('float64') if v.dtype.kind == 'f' else v for k, v in weights.items()}
    )


def build(conversion: Conversion, **options) -> torch.nn.Module:
    """The model of the config that fits, in float64, with the converted weights."""
    model = build_empty(conversion, **options)
    weights = {name: torch.as_tensor(value) for name, value in conversion.state_dict.items()}
    model.load_state_dict(weights, strict=True)
    return model


def build_empty(conversion: Conversion, **options) -> torch.nn.Module:
    """The same without weights; ``options`` are further ones below ``model``, dots as ``__``."""
    init_default_scope('mmseg')
    config = Config.fromfile(config_path(conversion.config))
    config.merge_from_dict(dict(conversion.cfg_options))
    config.merge_from_dict(
        {f'model.{name.replace("__", ".")}': value for name, value in options.items()}
    )
    return MODELS.build(config.model).double().eval()


@torch.no_grad()
def run(model: torch.nn.Module, image: np.ndarray) -> dict[str, np.ndarray]:
    """Everything that can be recorded for an image (N, 3, H, W)."""
    inputs = torch.from_numpy(image).double()
    seen: dict[str, torch.Tensor] = {}
    hooks = [module.register_forward_hook(recorder(seen)) for module, recorder in _recorders(model)]
    seen['seg_up'] = model.inference(inputs)
    for hook in hooks:
        hook.remove()
    if 'aux_low' in seen:
        seen['aux_up'] = resize_bilinear(
            seen['aux_low'], inputs.shape[2:], align_corners=model.align_corners
        )
    return {name: value.numpy() for name, value in seen.items()}


def _recorders(model: torch.nn.Module):
    """(module, factory of a hook) for the parts of the model."""
    head, backbone = model.decode_head, model.backbone
    yield head, lambda seen: lambda _, __, out: seen.update(_logits(out))
    if hasattr(head, 'object_context_block'):
        yield (
            head.object_context_block,
            lambda seen: lambda m, i, o: seen.update(context_of(m, i, o)),
        )
    else:
        yield head.convs, lambda seen: lambda _, __, out: seen.update(feat=out)
    yield from backbone_recorders(backbone)


def backbone_recorders(backbone: torch.nn.Module):
    """The same for the backbone's maps."""
    if not hasattr(backbone, 'maxpool'):
        yield backbone, lambda seen: lambda _, __, maps: seen.update(_numbered(maps))
        return
    # in place activations follow some of them, hence the copies
    yield (
        backbone.maxpool,
        lambda seen: lambda _, given, __: seen.update(backbone0=given[0].clone()),
    )
    for index, name in enumerate(('maxpool', 'layer1', 'layer2', 'layer3', 'layer4'), start=1):
        yield (
            getattr(backbone, name),
            lambda seen, i=index: lambda _, __, out: seen.update({f'backbone{i}': out.clone()}),
        )


def _logits(out) -> dict[str, torch.Tensor]:
    return {'aux_low': out[0], 'seg_low': out[1]} if isinstance(out, tuple) else {'seg_low': out}


def _numbered(maps) -> dict[str, torch.Tensor]:
    return {f'backbone{index}': x.clone() for index, x in enumerate(maps)}


def context_of(block, inputs, out) -> dict[str, torch.Tensor]:
    """What an object attention saw, and its weights."""
    pixels, regions = inputs
    query = block.query_project(pixels).flatten(2)
    key = block.key_project(regions[..., None]).flatten(2)
    similarity = query.transpose(1, 2) @ key * key.shape[1] ** -0.5
    return {
        'feat': out,
        'object_ctx': regions[..., None],
        'object_attn': similarity.softmax(dim=2),
    }
