"""The SegFix leaves: what differs from a model that tells classes."""

import pytest
import torch
from leaves import METHODS, load, representatives
from mmengine.config import Config
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from small_models import with_stand_in_backbone

from openseg_plugin.registry import MODELS

SEGFIX = METHODS['segfix']
SIDE = 64  # pixels of the square test images
# leaf: learning rate, weight decay, crop (H, W), iterations; the authors' scripts
PUBLISHED = {
    'segfix/hrnet48_cityscapes_80k.py': (0.04, 5e-4, (512, 512), 80000),
    'segfix/hrnet48_cityscapes_trainval_80k.py': (0.04, 5e-4, (512, 512), 80000),
    'segfix/hrnet2x20_cityscapes_80k.py': (0.04, 5e-4, (512, 512), 80000),
    'segfix/hrnet2x20_cityscapes_trainval_120k.py': (0.04, 5e-4, (512, 512), 120000),
    'segfix/hrnet2x20_cityscapes_instance_20k.py': (0.04, 5e-4, (512, 512), 20000),
    'segfix/hrnet2x20_cityscapes_ade20k_100k.py': (0.04, 5e-4, (512, 512), 100000),
    'segfix/hrnet48_ade20k_150k.py': (0.02, 1e-4, (512, 512), 150000),
}


def batch() -> dict:
    """Two random images, boundaries on their left halves."""
    samples = []
    for _ in range(2):
        boundary = torch.zeros(1, SIDE, SIDE, dtype=torch.uint8)
        boundary[..., : SIDE // 2] = 1
        direction = torch.randint(0, 8, (1, SIDE, SIDE), dtype=torch.uint8)
        boundary[:, :4], direction[:, :4] = 255, 255
        sample = SegDataSample()
        sample.gt_boundary, sample.gt_direction = (
            PixelData(data=field) for field in (boundary, direction)
        )
        sample.set_metainfo(
            dict(ori_shape=(SIDE, SIDE), img_shape=(SIDE, SIDE), pad_shape=(SIDE, SIDE))
        )
        samples.append(sample)
    images = [torch.randint(0, 256, (3, SIDE, SIDE), dtype=torch.uint8) for _ in range(2)]
    return dict(inputs=images, data_samples=samples)


def test_head_takes_all_maps_and_the_targets_have_its_directions(subtests):
    for leaf in SEGFIX:
        with subtests.test(leaf=leaf):
            cfg = load(leaf)
            with torch.device('meta'):
                model = MODELS.build(cfg.model)
            channels = sum(model.backbone.branch_channels)
            assert model.decode_head.boundary_conv.conv.in_channels == channels
            directions = [step['num_directions'] for step in target_steps(cfg)]
            assert len(directions) >= 2
            assert set(directions) == {cfg.model.decode_head.num_directions}


def target_steps(cfg: Config) -> list[dict]:
    """The transforms of training and validation that make the targets."""
    datasets = [cfg.train_dataloader.dataset, cfg.val_dataloader.dataset]
    datasets += datasets[0].get('datasets', [])
    datasets += [one['dataset'] for one in datasets if 'dataset' in one]
    steps = [step for one in datasets for step in one.get('pipeline', [])]
    return [step for step in steps if step['type'] == 'openseg_plugin.SegFixTargets']


def train_a_step_and_predict(leaf: str) -> None:
    cfg = load(leaf)
    model_cfg = with_stand_in_backbone(cfg.model)
    model_cfg.data_preprocessor.size = (SIDE, SIDE)
    model = MODELS.build(model_cfg)
    data = batch()
    losses = model(**model.data_preprocessor(data, training=True), mode='loss')
    total, log = model.parse_losses(losses)
    total.backward()
    assert torch.isfinite(total)
    metrics = {'loss_boundary', 'loss_direction', 'boundary_f', 'direction'}
    assert {f'decode.{name}' for name in metrics} <= set(log)
    head = model.decode_head.named_parameters()
    assert [name for name, p in head if p.grad is None] == []
    model.eval()
    with torch.no_grad():
        predicted = model.test_step(batch())[0]
    assert predicted.pred_boundary.shape == predicted.pred_direction.shape == (SIDE, SIDE)
    assert int(predicted.pred_direction.data.max()) < cfg.model.decode_head.num_directions


def test_leaf_of_every_network_trains_a_step_and_predicts(subtests):
    for leaf in representatives(SEGFIX):
        with subtests.test(leaf=leaf):
            train_a_step_and_predict(leaf)


@pytest.mark.slow
def test_every_other_leaf_trains_a_step_and_predicts(subtests):
    for leaf in sorted({*SEGFIX} - {*representatives(SEGFIX)}):
        with subtests.test(leaf=leaf):
            train_a_step_and_predict(leaf)


def test_leaves_have_the_published_numbers(subtests):
    for leaf, published in PUBLISHED.items():
        with subtests.test(leaf=leaf):
            cfg = load(leaf)
            optimizer = cfg.optim_wrapper.optimizer
            found = (
                optimizer.lr,
                optimizer.weight_decay,
                tuple(cfg.crop_size),
                cfg.train_cfg.max_iters,
            )
            assert found == published
            assert optimizer.momentum == 0.9
