"""What NVIDIA's networks gave, and the same things from ours.

The reference ran in float32 on a CPU. Which pixels and channels of an output were kept, and for
which scales and input, is read from its description in the fixture.
"""

import ast
import re

import numpy as np
import torch
import torch.nn.functional as F
from parity import reference_run, stored

from openseg_plugin.converters.checkpoints import Conversion
from openseg_plugin.layers.resize import resize_bilinear
from openseg_plugin.layers.scale_fusion import scaled_image
from openseg_plugin.models.segmentors.hierarchical_multi_scale import (
    HierarchicalMultiScaleSegmentor,
    ordered_scales,
)


def limit(fixture: stored.Stored) -> float:
    """What an input noise of 1e-6 does to the reference, at least 1e-5."""
    return max(1e-5, fixture.meta['sensitivity_to_1e6_input_noise'])


def number(pattern: str, text: str, default: float = 1) -> float:
    found = re.search(pattern, text)
    return float(found.group(1)) if found else default


def kept(maps: torch.Tensor, description: str) -> np.ndarray:
    """The channels, rows and columns that were stored."""
    step = int(number(r'every (\d+)(?:nd|th|rd|st) row', description))
    channels = int(number(r'every (\d+)(?:nd|th|rd|st) channel', description))
    return maps[:, ::channels, ::step, ::step].numpy()


class Run:
    """One converted network and what it gives for the inputs of a fixture.

    Attributes:
        fixture: what was stored.
        model: ours.
        is_multi_scale: whether it fuses scales.
    """

    def __init__(self, fixture: stored.Stored, conversion: Conversion) -> None:
        self.fixture = fixture
        self.model = reference_run.build(conversion)
        self.is_multi_scale = isinstance(self.model, HierarchicalMultiScaleSegmentor)
        assert self.model.align_corners == fixture.meta['align_corners']
        self.seen: dict[str, torch.Tensor] = {}

    def image(self, *, odd: bool = False) -> torch.Tensor:
        meta = self.fixture.meta
        shape = meta['eval_input_shape_odd' if odd else 'eval_input_shape']
        return torch.from_numpy(stored.image(shape, meta['eval_input_seed'])).double()

    def logits(self, image: torch.Tensor, scales: list[float] | None = None) -> torch.Tensor:
        """(N, K, H, W), with these in-model scales where there are any."""
        if scales is not None:
            self.model.scales = ordered_scales(scales)
        return self.model.inference(image)

    def single(self, name: str, description: str) -> torch.Tensor:
        """Outputs of one pass, without scales."""
        image = self.image(odd=name.startswith('odd_') or name.endswith('_odd'))
        if name.startswith('pred'):
            return self.logits(image)
        if not self.seen:
            self.seen = reference_pass(self.model, self.image())
        return self.seen[name]

    def multi(self, name: str, description: str) -> torch.Tensor:
        """Outputs of several passes."""
        model, image = self.model, self.image(odd=name.startswith('odd_'))
        size = tuple(image.shape[2:])
        if name == 'two_scale_pred':
            coarse, fine = model.two_passes(image)
            return model.fused([fine, coarse], size)
        if name.startswith(('scale_', 'raw_attn')):
            scale = number(r'the ([\d.]+)x pass|, ([\d.]+)x pass', description.replace(',', ' the'))
            scaled = scaled_image(image, scale, exact_ratio=False)
            one = model._pass(scaled, scale, with_attention=True)
            if name.startswith('raw_attn'):
                return one.attention
            maps = one.attention if 'attn' in name else one.logits
            return resize_bilinear(maps, one.size, align_corners=False)
        scales = ordered_scales(listed(description))
        if 'aux' in name:
            return model.fused(model.passes(image, scales), size, of_regions=True)
        return self.logits(image, scales)

    def evaluated(self) -> torch.Tensor:
        """Mean logits of the evaluation loop: outer scales, or flipped views around the model."""
        image, scales = self.image(), listed(self.fixture.meta['outputs']['eval_logits'])
        outer = [1.0] if self.is_multi_scale else scales
        inner = scales if self.is_multi_scale else None
        size = image.shape[2:]
        views = []
        for flip in (True, False):
            for scale in outer:
                target = [round(side * scale) for side in size]
                view = image.flip(-1) if flip else image
                view = F.interpolate(view, size=target, mode='bilinear', align_corners=False)
                scores = resize_bilinear(self.logits(view, inner), size, align_corners=False)
                views.append(scores.flip(-1) if flip else scores)
        return torch.stack(views).mean(0)


def listed(description: str) -> list[float]:
    """The scales in square brackets."""
    return ast.literal_eval(re.search(r'scales (\[[\d., ]+\])', description).group(1))


def reference_pass(model: torch.nn.Module, image: torch.Tensor) -> dict[str, torch.Tensor]:
    """Under NVIDIA's names, of a network without scales."""
    feats = model.extract_feat(image)
    head = model.decode_head
    if hasattr(head, 'pyramid'):
        fine, _, coarse = feats
        return {'s2': fine, 'high': coarse, 'aspp': head.pyramid(coarse)}
    regions, pixels = head.object_contextual_features(feats)
    return {'aux_stride4': regions, 'ocr_feats': pixels, 'cls_stride4': head.cls_seg(pixels)}


@torch.no_grad()
def errors(fixture: stored.Stored, conversion: Conversion) -> dict[str, float]:
    """Relative error of every stored output."""
    run, found = Run(fixture, conversion), {}
    for name, expected in fixture.outputs.items():
        description = fixture.meta['outputs'][name]
        if description.startswith('same'):
            description = fixture.meta['outputs'][name.removesuffix('_odd')]
        if name.startswith(('eval_', 'train_')) or name in ('dict_keys', 'odd_sizes'):
            continue
        maps = (run.multi if run.is_multi_scale else run.single)(name, description)
        found[name] = stored.error(kept(maps, description), expected)
    if 'eval_logits' in fixture.outputs:
        found |= evaluation_errors(run)
    if 'dict_keys' in fixture.outputs:
        found |= pass_errors(run)
    if 'train_main' in fixture.outputs:
        found |= training_errors(fixture, run.model)
    return found


def evaluation_errors(run: Run) -> dict[str, float]:
    """The evaluation loop; classes may differ only where two are as good as equal."""
    outputs, about = run.fixture.outputs, run.fixture.meta['outputs']
    scores = run.evaluated()
    theirs = torch.from_numpy(outputs['eval_prediction']).long()
    best = scores.amax(1)
    gap = best - scores.gather(1, theirs.unsqueeze(1)).squeeze(1)
    tie = 2 * limit(run.fixture) * scores.abs().max()
    ours = torch.where(gap <= tie, theirs, scores.argmax(1))
    labels = stored.labels(ours.shape, scores.shape[1], run.fixture.meta['seed'])
    valid = labels < scores.shape[1]
    pairs = labels[valid] * scores.shape[1] + ours.numpy()[valid]
    counts = np.bincount(pairs, minlength=scores.shape[1] ** 2).reshape([scores.shape[1]] * 2)
    return {
        'eval_logits': stored.error(kept(scores, about['eval_logits']), outputs['eval_logits']),
        # p (1 - p) times the error of a difference of two logits: half of their size at most
        'eval_max_prob': stored.error(
            kept(scores.softmax(1).amax(1, keepdim=True), about['eval_max_prob']),
            outputs['eval_max_prob'],
        )
        / max(1.0, float(scores.abs().max()) / 2),
        'eval_prediction': float((ours != theirs).double().mean()),
        'eval_hist': stored.error(counts, outputs['eval_hist']),
    }


def pass_errors(run: Run) -> dict[str, float]:
    """Names of the outputs and sizes of the passes."""
    outputs, about = run.fixture.outputs, run.fixture.meta['outputs']
    scales = ordered_scales(ast.literal_eval(re.search(r'\[.*\]', about['dict_keys']).group(0)))
    passes = list(run.model.passes(run.image(odd=True), scales))
    names = {'pred'} | {f'pred_{one.scale}x' for one in passes}
    names |= {f'attn_{one.scale}x' for one in passes if one.attention is not None}
    sizes = np.array(sorted((one.scale, *one.size) for one in passes))
    return {
        'dict_keys': float(names != set(outputs['dict_keys'].tolist())),
        'odd_sizes': stored.error(sizes, outputs['odd_sizes']),
    }


def training_logits(
    fixture: stored.Stored, model: torch.nn.Module, *, batch_statistics: bool, noise: float = 0.0
) -> dict[str, torch.Tensor]:
    """Logits that the losses get, by the names of the stored pieces."""
    given, seed = fixture.meta['train'], fixture.meta['seed'] + 2
    image = torch.from_numpy(stored.image(given['image_shape'], seed)).double()
    image += noise * torch.from_numpy(stored.image(given['image_shape'], seed + 1)).double()
    size = tuple(image.shape[2:])
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.train(batch_statistics)
    if isinstance(model, HierarchicalMultiScaleSegmentor):
        coarse, fine = model.two_passes(image)
        found = {
            'main_joint': model.fused([fine, coarse], size),
            'aux_joint': model.fused([fine, coarse], size, of_regions=True),
            'pred_05x_up': resize_bilinear(coarse.logits, coarse.size, align_corners=False),
            'pred_10x': fine.logits,
        }
    else:
        aux, main = model.decode_head(model.extract_feat(image))
        found = {'main': main, 'aux': aux}
    model.eval()
    return {name: resize_bilinear(x, size, align_corners=False) for name, x in found.items()}


def training_errors(fixture: stored.Stored, model: torch.nn.Module) -> dict[str, float]:
    """Logits of the training branch, with running statistics and with those of the batch.

    The latter magnify rounding (4 numbers per channel at stride 32 of a reduced copy), so there the
    error counts in units of what noise of 1e-6 on the input does to our float64 run.
    """
    found = {}
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for name in [name for name in fixture.outputs if name.startswith('train_')]:
        pieces = training_logits(fixture, model, batch_statistics='bn_batch' in name)
        model.load_state_dict(before)
        part = 'main' if 'main' in name else 'aux'
        maps = pieces.get(part, pieces.get(f'{part}_joint'))
        description = fixture.meta['outputs'][name]
        found[name] = stored.error(kept(maps.detach(), description), fixture.outputs[name])
        if 'bn_batch' in name:
            noisy = training_logits(fixture, model, batch_statistics=True, noise=1e-6)
            model.load_state_dict(before)
            moved = noisy.get(part, noisy.get(f'{part}_joint')) - maps
            noise = float(moved.abs().max() / maps.abs().max())
            found[name] *= limit(fixture) / max(limit(fixture), noise)
    return found
