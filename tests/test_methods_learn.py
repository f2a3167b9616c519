"""Every method learns: on a small backbone its loss falls within a few iterations."""

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from small_models import with_stand_in_backbone

from openseg_plugin.paths import config_path
from openseg_plugin.registry import MODELS

CLASSES = 4
SIDE = 64  # pixels of the square images
STEPS = 15
FALL = 0.7  # the loss ends below this fraction of where it began
COLORS = torch.tensor([[200, 220, 255], [90, 60, 50], [120, 120, 130], [30, 160, 40]])
BASES = (
    *('isa_r101', 'asp_ocr_r101', 'base_oc_r101', 'ocr_hrnet48', 'ce2p_ocr_r101', 'fcn_hrnet48'),
    *('pspnet_r101_mmseg', 'bisenet_r18_mmseg', 'hmsa_hrnet18', 'segfix_hrnet48'),
)
# of many channels, or much like one of the above
SLOW_BASES = (
    *('asp_oc_r101', 'ocr_b_hrnet48', 'ce2p_asp_ocr_r101', 'fcn_r101', 'deeplabv3_r101_mmseg'),
    *('danet_r101_mmseg', 'danet_r101_pytorchcv', 'ccnet_r101_mmseg', 'bisenet_r18_pytorchcv'),
    'deeplabv3plus_wrn38',
)


def model_of(base: str) -> torch.nn.Module:
    """The model of a base, on a stand-in backbone."""
    model = Config.fromfile(config_path(f'_base_/models/{base}.py')).model
    model.data_preprocessor = Config.fromfile(
        config_path('_base_/preprocessors/rgb.py')
    ).data_preprocessor
    model.data_preprocessor.size = (SIDE, SIDE)
    if 'segfix' not in base:
        auxiliary = model.get('auxiliary_head') or []
        for head in [model.decode_head, *([auxiliary] if 'type' in auxiliary else auxiliary)]:
            head.num_classes = CLASSES
    return MODELS.build(with_stand_in_backbone(ConfigDict(model)))


def street(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """An image (3, SIDE, SIDE) uint8 and its labels (1, SIDE, SIDE).

    Sky above houses above a road with something green on it, each in its color, with noise.
    """
    generator = torch.Generator().manual_seed(seed)
    low, high, left = (int(x) for x in torch.randint(0, 12, (3,), generator=generator))
    labels = torch.zeros(SIDE, SIDE, dtype=torch.long)
    labels[16 + low :] = 1
    labels[36 + high :] = 2
    labels[44:60, 8 + left : 32 + left] = 3
    noise = torch.randint(-25, 26, (SIDE, SIDE, 3), generator=generator)
    image = (COLORS[labels] + noise).clamp(0, 255).to(torch.uint8)
    return image.permute(2, 0, 1), labels[None]


def batch() -> dict:
    """Two streets with labels, and boundaries and directions that their classes stand for."""
    images, samples = [], []
    for seed in range(2):
        image, labels = street(seed)
        fields = dict(
            gt_sem_seg=labels,
            gt_boundary=(labels == 1).to(torch.uint8),
            gt_direction=(2 * labels).to(torch.uint8),
        )
        sample = SegDataSample(**{name: PixelData(data=data) for name, data in fields.items()})
        size = (SIDE, SIDE)
        sample.set_metainfo(dict(ori_shape=size, img_shape=size, pad_shape=size))
        images.append(image)
        samples.append(sample)
    return dict(inputs=images, data_samples=samples)


@pytest.mark.parametrize(
    'base', [*BASES, *(pytest.param(base, marks=pytest.mark.slow) for base in SLOW_BASES)]
)
def test_loss_falls_in_a_few_steps(base):
    model = model_of(base).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    totals = []
    for _ in range(STEPS):
        losses = model(**model.data_preprocessor(batch(), training=True), mode='loss')
        total, _ = model.parse_losses(losses)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(total.item())
    assert sum(totals[-3:]) / 3 < FALL * totals[0], totals
