"""mmseg's own files: stock models with random weights, converted, give stock mmseg's outputs.

Only for sides divisible by 32: elsewhere mmseg's HRNet resizes twice where
ours resizes once.
"""

from pathlib import Path

import mmseg
import pytest
import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from parity import reference_run, stored

from openseg_plugin.converters.checkpoints import convert

CONFIGS = Path(mmseg.__file__).parent / '.mim' / 'configs'
SIZE = (64, 96)


def stock(config: str, num_classes: int) -> torch.nn.Module:
    """mmseg's model in float64 with random weights and statistics that fit its features."""
    init_default_scope('mmseg')
    model = Config.fromfile(CONFIGS / config).model
    model.pretrained = None
    heads = list(model.decode_head) if isinstance(model.decode_head, list) else [model.decode_head]
    auxiliary = model.get('auxiliary_head') or []
    heads += auxiliary if isinstance(auxiliary, list) else [auxiliary]
    for head in heads:
        head.num_classes = num_classes
    model = revert_sync_batchnorm(MODELS.build(model)).double()
    with torch.no_grad():
        for name, value in model.named_parameters():
            value.copy_(torch.as_tensor(stored.weight(name, value.shape)))
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1
    for dropout in (m for m in model.modules() if isinstance(m, torch.nn.Dropout2d)):
        dropout.p = 0
    image = torch.from_numpy(stored.image((2, 3, *SIZE), 1)).double()
    with torch.no_grad():
        outputs(model.train(), image)
    return model.eval()


def outputs(model: torch.nn.Module, image: torch.Tensor) -> dict[str, torch.Tensor]:
    """Logits at the heads' resolution."""
    feats = model.extract_feat(image)
    if not isinstance(model.decode_head, torch.nn.ModuleList):
        logits = model.decode_head(feats)  # DANet's: of the sum, then of each branch
        return {'seg_low': logits if isinstance(logits, torch.Tensor) else logits[0]}
    regions = model.decode_head[0](feats)
    return {'aux_low': regions, 'seg_low': model.decode_head[1](feats, regions)}


@pytest.mark.parametrize(
    ('config', 'num_classes', 'backbone', 'fits'),
    [
        ('ocrnet/ocrnet_hr18s_4xb2-40k_cityscapes-512x1024.py', 19, 'hrnet18s', 'hrnet18s'),
        ('hrnet/fcn_hr18s_4xb2-40k_cityscapes-512x1024.py', 150,
         'hrnet18s', 'hrnet18s'),
        pytest.param('ocrnet/ocrnet_hr18_4xb2-40k_cityscapes-512x1024.py', 21, 'hrnet18',
                     'hrnet18', marks=pytest.mark.slow),
        pytest.param('ocrnet/ocrnet_hr48_4xb2-40k_cityscapes-512x1024.py', 19, 'hrnet48',
                     'hrnet48', marks=pytest.mark.slow),
        pytest.param('ocrnet/ocrnet_r101-d8_4xb2-40k_cityscapes-512x1024.py', 19, 'resnet101',
                     'r101', marks=pytest.mark.slow),
        ('isanet/isanet_r50-d8_4xb2-40k_cityscapes-512x1024.py', 19, 'resnet50', 'r50'),
        ('danet/danet_r50-d8_4xb2-40k_cityscapes-512x1024.py', 21, 'resnet50', 'r50'),
        ('ccnet/ccnet_r50-d8_4xb2-40k_cityscapes-512x1024.py', 19, 'resnet50', 'r50'),
        ('pspnet/pspnet_r50-d8_4xb2-40k_cityscapes-512x1024.py', 150, 'resnet50', 'r50'),
        ('deeplabv3/deeplabv3_r50-d8_4xb2-40k_cityscapes-512x1024.py', 19, 'resnet50', 'r50'),
        ('bisenetv1/bisenetv1_r18-d32_4xb4-160k_cityscapes-1024x1024.py', 19, 'resnet18', 'r18'),
        ('fastfcn/fastfcn_r50-d32_jpu_psp_4xb2-80k_cityscapes-512x1024.py', 19, 'resnet50', 'r50'),
        pytest.param('fastfcn/fastfcn_r50-d32_jpu_aspp_4xb2-80k_cityscapes-512x1024.py', 150,
                     'resnet50', 'r50', marks=pytest.mark.slow),
        *(
            pytest.param(f'{m}/{m}_r101-d8_4xb2-40k_cityscapes-512x1024.py', 60, 'resnet101',
                         'r101', marks=pytest.mark.slow)
            for m in ('isanet', 'danet', 'ccnet', 'pspnet', 'deeplabv3')
        ),
        pytest.param('bisenetv1/bisenetv1_r50-d32_4xb4-160k_cityscapes-1024x1024.py', 171,
                     'resnet50', 'r50', marks=pytest.mark.slow),
        pytest.param('bisenetv1/bisenetv1_r101-d32_4xb4-160k_coco-stuff164k-512x512.py', 171,
                     'resnet101', 'r50', marks=pytest.mark.slow),
        pytest.param('hrnet/fcn_hr18_4xb2-40k_cityscapes-512x1024.py', 60, 'hrnet18', 'hrnet18',
                     marks=pytest.mark.slow),
        pytest.param('hrnet/fcn_hr48_4xb2-40k_cityscapes-512x1024.py', 59, 'hrnet48', 'hrnet48',
                     marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_stock_model_converted_gives_the_same_outputs(config, num_classes, backbone, fits):
    theirs = stock(config, num_classes)
    conversion = convert(theirs.state_dict())
    assert conversion.source.name == 'mmseg'
    assert (conversion.backbone, conversion.num_classes) == (backbone, num_classes)
    assert conversion.config.split('/')[1].startswith(f'{fits}_mmseg_')
    image = stored.image((1, 3, *SIZE), 2)
    with torch.no_grad():
        expected = {
            name: value.numpy()
            for name, value in outputs(theirs, torch.from_numpy(image).double()).items()
        }
    ours = reference_run.build(conversion)
    with torch.no_grad():
        out = ours.decode_head(ours.extract_feat(torch.from_numpy(image).double()))
    names = ('aux_low', 'seg_low') if 'aux_low' in expected else ('seg_low',)
    out = [out] if isinstance(out, torch.Tensor) else out
    actual = {name: value.numpy() for name, value in zip(names, out[-len(names) :], strict=True)}
    errors = stored.errors(actual, expected)
    assert max(errors.values()) < 1e-5, errors
