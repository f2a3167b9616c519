"""Prediction at scales 0.5, 1, 2 beside a direct re-statement of the published recursion.

Multiply-adds are those of the full network (HRNet-W48) at the given size, counted without
computing, as is what a training step on a crop of that size keeps for the gradient; time and memory
are those of HRNet-W18. The reference computes the attention of every scale and projects the object
context at every pixel, and fuses maps of the full size.

On Linux the peak of a training step holds freed blocks that glibc keeps for later, which hides most
of what activation checkpointing saves; MALLOC_MMAP_THRESHOLD_=1048576 in the environment makes it
give them back at once.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from openseg_plugin.benchmark.core import Case, Setting, within
from openseg_plugin.benchmark.inputs import smooth
from openseg_plugin.layers.object_context import gather_regions, object_attention
from openseg_plugin.paths import config_path
from openseg_plugin.registry import MODELS

LARGE, SMALL = '_base_/models/hmsa_hrnet48.py', '_base_/models/hmsa_hrnet18.py'
GATE = 0.89  # multiply-adds: ours over the reference's at most


def cases(setting: Setting) -> Iterator[Case]:
    """Prints both counts of multiply-adds, then yields a prediction and a training step."""
    with torch.device('meta'):
        large = network(LARGE, setting)
        counts = [multiply_adds(way, large, setting) for way in (reference, nn.Module.__call__)]
        kept = [kept_for_gradient(setting, with_cp=with_cp) for with_cp in (False, True)]
    ratio = counts[1] / counts[0]
    print(
        f'multiply-adds, HRNet-W48: reference {counts[0] / 1e9:.0f} G, ours {counts[1] / 1e9:.0f} '
        f'G, ratio {ratio:.3f} (at most {GATE})'
    )
    print(
        f'kept for the gradient, HRNet-W48, one crop: {kept[0] / 2**20:.0f} MB, with_cp '
        f'{kept[1] / 2**20:.0f} MB'
    )
    torch.manual_seed(0)
    model = network(SMALL, setting).to(setting.device)
    picture = smooth((1, 3, *setting.size)).to(setting.device)
    yield Case(
        'hmsa prediction',
        lambda: reference(model, picture),
        lambda: model(picture),
        within(1e-4),
        1.0,
    )
    yield _training(setting)


def _training(setting: Setting) -> Case:
    """A step on one crop of half the size, without and with activation checkpointing."""
    size = tuple(side // 2 for side in setting.size)
    picture = smooth((1, 3, *size)).to(setting.device)
    labels = smooth((1, setting.classes, *size), seed=1).argmax(1).to(setting.device)
    sample = SegDataSample(metainfo=dict(img_shape=size))
    sample.gt_sem_seg = PixelData(data=labels)

    def step(model: nn.Module) -> Tensor:
        losses = model.loss(picture, [sample])
        total = sum(value for name, value in losses.items() if 'loss' in name)
        model.zero_grad()
        total.backward()
        return torch.stack([total.detach(), model.backbone.conv1.weight.grad.norm()])

    models = []
    for with_cp in (False, True):
        torch.manual_seed(0)
        model = network(SMALL, setting, with_cp=with_cp).train().to(setting.device)
        for part in model.modules():
            if isinstance(part, nn.modules.dropout._DropoutNd):
                part.p = 0.0
        models.append(model)
    plain, checkpointed = models
    return Case(
        'hmsa train with_cp',
        lambda: step(plain),
        lambda: step(checkpointed),
        within(1e-3),
        needs_grad=True,
    )


def network(config: str, setting: Setting, *, with_cp: bool = False) -> nn.Module:
    """With random weights, in evaluation mode."""
    init_default_scope('mmseg')
    model = Config.fromfile(config_path(config)).model
    model.backbone.init_cfg = None
    model.backbone.with_cp = with_cp
    model.decode_head.num_classes = setting.classes
    for part in (model.backbone, model.decode_head, model.scale_attention):
        part.norm_cfg = dict(type='BN')
    return MODELS.build(model).eval()


def multiply_adds(way, model: nn.Module, setting: Setting) -> int:
    """Of one prediction; torch counts each as two operations."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        way(model, torch.empty(1, 3, *setting.size, device='meta'))
    return counter.get_total_flops() // 2


def kept_for_gradient(setting: Setting, *, with_cp: bool) -> int:
    """Bytes of what both passes of a training step keep, apart from weights; on the meta device."""
    model = network(LARGE, setting, with_cp=with_cp).train()
    kept = {weight.untyped_storage()._cdata: 0 for weight in model.parameters()}
    alive = []  # a storage that is gone may hand its address to the next one

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in kept:
            kept[storage._cdata] = storage.nbytes()
            alive.append(tensor)
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        coarse, fine = model.two_passes(torch.empty(1, 3, *setting.size, device='meta'))
        joint = model.fused([fine, coarse], fine.size)
    assert joint.requires_grad
    return sum(kept.values())


@torch.no_grad()
def reference(model: nn.Module, picture: Tensor) -> Tensor:
    """The published recursion, step by step, with the auxiliary logits that it fuses as well."""
    result = None
    for scale in sorted(model.scales, reverse=True):
        size = [int(side * scale) for side in picture.shape[2:]]
        passed = _pass(model, _resized(picture, size))
        logits, weight = passed[:2], passed[2]
        if result is None:
            result = logits
        elif scale >= 1:
            result = [
                weight * new + (1 - weight) * _resized(old, size)
                for new, old in zip(logits, result)
            ]
        else:
            full = result[0].shape[2:]
            rest = 1 - _resized(weight, full)
            result = [_resized(weight * new, full) + rest * old for new, old in zip(logits, result)]
    return result[0]


def _pass(model: nn.Module, picture: Tensor) -> list[Tensor]:
    """Logits, auxiliary logits and attention at the size of the picture."""
    head, size = model.decode_head, picture.shape[2:]
    maps = head._transform_inputs(model.extract_feat(picture))
    regions = head.region_seg(head.region_conv(maps))
    pixels = head.bottleneck(maps)
    block = head.object_context_block
    objects = gather_regions(pixels, regions).unsqueeze(3)
    context = object_attention(
        block.query_project(pixels),
        block.key_project(objects).squeeze(3),
        block.value_project(objects).squeeze(3),
    )
    features = block.bottleneck(torch.cat([block.out_project(context), pixels], dim=1))
    found = (head.cls_seg(features), regions, model.scale_attention(features))
    return [_resized(one, size) for one in found]


def _resized(maps: Tensor, size) -> Tensor:
    return F.interpolate(maps, size=tuple(size), mode='bilinear', align_corners=False)
