"""Multiple scales beside a direct re-statement of the published recursion, and beside stock OCR.

Multiply-adds are those of HRNet-W48 at the given size, counted without computing, as are the most
memory that the tensors of a prediction take at one time, apart from weights, and what a training
step on a crop of that size keeps for the gradient. What runs is HRNet-W48 on a GPU, with crops of
the given size, and HRNet-W18 on a CPU, with crops of half the size.

=====================  ====================================  =====================================
case                   first way                             second way
=====================  ====================================  =====================================
hmsa prediction        re-statement, scales 0.5, 1, 2        ours
hmsa prediction 5      re-statement, 0.5, 1, 1.5, 2, 2.5     ours
hmsa train with_cp     ours                                  with activation checkpointing
hmsa ocr prediction    mmseg's OCR, one scale                ours, 0.5, 1, 2; other results
hmsa ocr training      mmseg's OCR, one scale                ours, 0.5 and 1; other results
=====================  ====================================  =====================================

On Linux the peak of a training iteration holds freed blocks that glibc keeps for later, which
hides most
of what activation checkpointing saves; MALLOC_MMAP_THRESHOLD_=1048576 in the environment makes it
give them back at once.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import mmseg
import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.core import Case, Difference, Setting, kept_for_gradient, within
from benchmarks.hmsa_reference import reference
from benchmarks.inputs import smooth
from openseg_plugin.models.segmentors.hierarchical_multi_scale import ordered_scales
from openseg_plugin.paths import config_path
from openseg_plugin.registry import MODELS
from openseg_plugin.utils.live_tensors import live_peak

STOCK = Path(mmseg.__file__).parent / '.mim/configs/ocrnet'
GATE = 0.89  # multiply-adds: ours over the reference's at most
THREE, FIVE = (0.5, 1.0, 2.0), (0.5, 1.0, 1.5, 2.0, 2.5)


def cases(setting: Setting) -> Iterator[Case]:
    """Prints what is counted, then yields predictions and training iterations."""
    with torch.device('meta'):
        large = network(48, setting)
        counts = [multiply_adds(way, large, setting) for way in (reference, nn.Module.__call__)]
        kept = [kept_in_training(setting, with_cp=with_cp) for with_cp in (False, None, True)]
    ratio = counts[1] / counts[0]
    print(
        f'multiply-adds, HRNet-W48: reference {counts[0] / 1e9:.0f} G, ours {counts[1] / 1e9:.0f} '
        f'G, ratio {ratio:.3f} (at most {GATE})'
    )
    print(
        f'kept for the gradient, HRNet-W48, one crop: {kept[1] / 2**20:.0f} MB, with_cp=False '
        f'{kept[0] / 2**20:.0f} MB, with_cp=True {kept[2] / 2**20:.0f} MB'
    )
    for line in live_lines(setting):
        print(line, flush=True)
    width, crop = plan(setting)
    torch.manual_seed(0)
    model = network(width, setting).to(setting.device)
    image = smooth((1, 3, *setting.size)).to(setting.device)
    for name, scales in (('hmsa prediction', THREE), ('hmsa prediction 5', FIVE)):
        yield _prediction(name, model, image, scales)
    yield _checkpointing(setting, width, crop)
    stock = stock_ocr(width, setting).to(setting.device)
    yield Case(
        'hmsa ocr prediction',
        lambda: stock(image),
        _with_scales(model, image, THREE),
        unrelated,
    )
    step = training_step(setting, crop)
    yield Case('hmsa ocr training', step(stock), step(model), unrelated, needs_grad=True)


def plan(setting: Setting) -> tuple[int, tuple[int, int]]:
    """Width of the HRNet and (H, W) of the training crop that suit the device."""
    if setting.device == 'cpu':
        return 18, (setting.size[0] // 2, setting.size[1] // 2)
    return 48, setting.size


def unrelated(stock: Any, ours: Any) -> Difference:
    """For ways that compute different things, side by side for their cost alone."""
    return Difference(0, 0.0, True)


def _prediction(name: str, model: nn.Module, image: Tensor, scales: Sequence[float]) -> Case:
    # convolutions of a GPU round to fewer digits by default
    tolerance = 1e-4 if image.device.type == 'cpu' else 1e-2
    return Case(
        name,
        _with_scales(model, image, scales, way=reference),
        _with_scales(model, image, scales),
        within(tolerance),
        1.0,
    )


def _with_scales(
    model: nn.Module,
    image: Tensor,
    scales: Sequence[float],
    *,
    way: Callable[[nn.Module, Tensor], Tensor] = nn.Module.__call__,
) -> Callable[[], Tensor]:
    def predict() -> Tensor:
        model.scales = ordered_scales(scales)
        return way(model, image)

    return predict


def training_step(
    setting: Setting, crop: tuple[int, int]
) -> Callable[[nn.Module], Callable[[], Tensor]]:
    """Of a model: its step on one crop, which gives the loss and the norm of one gradient."""
    image = smooth((1, 3, *crop)).to(setting.device)
    labels = smooth((1, setting.classes, *crop), seed=1).argmax(1).to(setting.device)
    sample = SegDataSample(metainfo=dict(img_shape=crop))
    sample.gt_sem_seg = PixelData(data=labels)

    def of(model: nn.Module) -> Callable[[], Tensor]:
        def step() -> Tensor:
            losses = model.train().loss(image, [sample])
            total = sum(value for name, value in losses.items() if 'loss' in name)
            model.zero_grad()
            total.backward()
            return torch.stack([total.detach(), model.backbone.conv1.weight.grad.norm()])

        return step

    return of


def _checkpointing(setting: Setting, width: int, crop: tuple[int, int]) -> Case:
    """The same step without and with activation checkpointing."""
    step, models = training_step(setting, crop), []
    for with_cp in (False, True):
        torch.manual_seed(0)
        model = network(width, setting, with_cp=with_cp).to(setting.device)
        for part in model.modules():
            if isinstance(part, nn.modules.dropout._DropoutNd):
                part.p = 0.0
        models.append(model)
    # rounding of a GPU, see _prediction
    tolerance = 1e-3 if setting.device == 'cpu' else 1e-2
    plain, checkpointed = map(step, models)
    return Case('hmsa train with_cp', plain, checkpointed, within(tolerance), needs_grad=True)


def network(width: int, setting: Setting, *, with_cp: bool | None = None) -> nn.Module:
    """Ours on HRNet-W48 or W18 with random weights, in evaluation mode."""
    init_default_scope('mmseg')
    model = Config.fromfile(config_path(f'_base_/models/hmsa_hrnet{width}.py')).model
    model.backbone.init_cfg = None
    model.backbone.with_cp = with_cp
    model.decode_head.num_classes = setting.classes
    for part in (model.backbone, model.decode_head, model.scale_attention):
        part.norm_cfg = dict(type='BN')
    return MODELS.build(model).eval()


def stock_ocr(width: int, setting: Setting) -> nn.Module:
    """mmseg's OCR on HRNet-W48 or W18 with random weights."""
    init_default_scope('mmseg')
    (path,) = STOCK.glob(f'ocrnet_hr{width}_*160k_cityscapes-512x1024.py')
    config = Config.fromfile(path).model
    config.update(pretrained=None, data_preprocessor=None)
    for head in config.decode_head:
        head.num_classes = setting.classes
    return revert_sync_batchnorm(MODELS.build(config)).eval()


def multiply_adds(way, model: nn.Module, setting: Setting) -> int:
    """Of one prediction; torch counts each as two operations."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        way(model, torch.empty(1, 3, *setting.size, device='meta'))
    return counter.get_total_flops() // 2


def live_lines(setting: Setting) -> Iterator[str]:
    """The most memory that tensors of a prediction by HRNet-W48 take at one time, by scales."""
    for scales in (THREE, FIVE):
        theirs, ours, half = (
            prediction_peak(setting, scales, **options) / 2**20
            for options in (dict(way=reference), {}, dict(dtype=torch.float16))
        )
        yield (
            f'live tensors, counted, {setting.size[0]}x{setting.size[1]}, scales '
            f'{", ".join(f"{scale:g}" for scale in scales)}: restatement {theirs:.0f} MB, ours '
            f'{ours:.0f} MB, in float16 {half:.0f} MB'
        )


def prediction_peak(
    setting: Setting,
    scales: Sequence[float],
    *,
    way: Callable[[nn.Module, Tensor], Tensor] = nn.Module.__call__,
    dtype: torch.dtype = torch.float32,
) -> int:
    """Bytes of all tensors at one time at most, apart from weights and the image."""
    with torch.device('meta'):
        model = network(48, setting).to(dtype)
        image = torch.empty(1, 3, *setting.size, dtype=dtype)
        return live_peak(_with_scales(model, image, scales, way=way))


def kept_in_training(setting: Setting, *, with_cp: bool | None) -> int:
    """What both passes of a training iteration keep apart from weights, on the meta device."""
    model = network(48, setting, with_cp=with_cp).train()
    image = torch.empty(1, 3, *setting.size, device='meta')

    def joint() -> Tensor:
        coarse, fine = model.two_passes(image)
        return model.fused([fine, coarse], fine.size)

    return kept_for_gradient(model, joint)
