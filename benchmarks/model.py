"""The whole network: HRNet-W18 + OCR with random weights, a training iteration and a prediction."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import mmseg
import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from benchmarks.core import Case, Setting, almost_all, kept_for_gradient, within
from benchmarks.inputs import smooth
from openseg_plugin.models.prepared import prepare
from openseg_plugin.paths import config_path
from openseg_plugin.registry import MODELS

STOCK_CONFIG = Path(mmseg.__file__).parent / '.mim/configs/_base_/models/ocrnet_hr18.py'
OUR_CONFIG = '_base_/models/ocr_hrnet18_mmseg.py'


def cases(setting: Setting) -> Iterator[Case]:
    """A training iteration (batch 2, crop of half the size) and a prediction of the whole image."""
    yield _training(setting)
    yield _prediction(setting)


def networks(setting: Setting) -> tuple[nn.Module, nn.Module]:
    """mmseg's network and ours with the same weights, norms with the statistics of a batch."""
    init_default_scope('mmseg')
    torch.manual_seed(0)
    stock_config = Config.fromfile(STOCK_CONFIG).model
    stock_config.update(pretrained=None)
    for head in stock_config.decode_head:
        head.num_classes = setting.classes
    stock = revert_sync_batchnorm(MODELS.build(stock_config))
    our_config = Config.fromfile(config_path(OUR_CONFIG)).model
    our_config.backbone.init_cfg = None
    our_config.decode_head.num_classes = setting.classes
    ours = revert_sync_batchnorm(MODELS.build(our_config))
    for norm in (m for m in stock.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)):
        norm.momentum = 1.0
    stock.train()
    with torch.no_grad():  # running statistics that keep activations in range
        stock.extract_feat(smooth((1, 3, 128, 256)))
        for head in stock.decode_head:
            head.eval()
    ours.load_state_dict(stock.state_dict())
    return stock.to(setting.device), ours.to(setting.device)


def _training(setting: Setting) -> Case:
    stock, ours = networks(setting)
    stock.train()
    ours.train()
    height, width = setting.size[0] // 2, setting.size[1] // 2
    images = smooth((2, 3, height, width)).to(setting.device)
    labels = smooth((2, setting.classes, height, width), seed=1).argmax(1, keepdim=True)

    def loss(model: nn.Module) -> Tensor:
        samples = []
        for label in labels.to(setting.device):
            sample = SegDataSample(metainfo=dict(img_shape=(height, width)))
            samples.append(sample.set_data(dict(gt_sem_seg=PixelData(data=label))) or sample)
        losses = model.loss(images, samples)
        return torch.stack([value for name, value in losses.items() if 'loss' in name]).sum()

    kept = [kept_for_gradient(one, partial(loss, one)) / 2**20 for one in (stock, ours)]
    print(
        f'kept for the gradient, crops of {height}x{width}: mmseg {kept[0]:.0f} MB, ours '
        f'{kept[1]:.0f} MB, ratio {kept[1] / kept[0]:.2f}'
    )

    def step(model: nn.Module) -> Tensor:
        total = loss(model)
        model.zero_grad()
        total.backward()
        return torch.stack([total.detach(), model.backbone.conv1.weight.grad.norm()])

    return Case(
        'model training',
        lambda: step(stock),
        lambda: step(ours),
        within(1e-3),
        1.0,
        needs_grad=True,
    )


def _prediction(setting: Setting) -> Case:
    stock, ours = (model.eval() for model in networks(setting))
    ours = prepare(ours)
    image = smooth((1, 3, *setting.size)).to(setting.device)
    meta = dict(ori_shape=setting.size, img_shape=setting.size, pad_shape=setting.size)

    def predict(model: nn.Module, inputs: Tensor) -> Tensor:
        return model.predict(inputs, [SegDataSample(metainfo=meta)])[0].pred_sem_seg.data

    return Case(
        'model prediction',
        lambda: predict(stock, image),
        lambda: predict(ours, image),
        almost_all(1e-3),
        1.4,
    )
