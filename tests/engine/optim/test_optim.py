"""Groups, learning rates and CPU mixed precision, against numbers worked out by hand."""

from pathlib import Path

import pytest
import torch
from in_one_test import in_one_test
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn
from torch.utils.data import DataLoader, SequentialSampler

from openseg_plugin.datasets.samplers import InfiniteSampler
from openseg_plugin.engine.optim.schedulers import (
    BackboneHeadConstructor,
    BFloat16OptimWrapper,
    PolyLR,
)
from openseg_plugin.engine.runner.loops import iterations_per_epoch
from openseg_plugin.errors import ConfigError
from openseg_plugin.registry import MODELS

CONFIGS = Path(__file__).parents[3] / 'configs'
SCHEDULES = CONFIGS / '_base_' / 'schedules'
# iterations of an epoch: training images over the batch of all GPUs


class Net(nn.Module):
    """Backbone of 4 parameter tensors (2 of the norm), head of 2, another backbone below a part."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1))
        self.decode_head = nn.Conv2d(1, 1, 1)
        self.part = nn.ModuleDict({'backbone': nn.Linear(1, 1, bias=False)})


def built(head_lr_mult: float = 10, model: nn.Module | None = None, **options):
    cfg = Config.fromfile(SCHEDULES / 'sgd_40k.py').optim_wrapper
    cfg.pop('constructor')
    cfg.paramwise_cfg.head_lr_mult = head_lr_mult
    paramwise = dict(cfg.pop('paramwise_cfg'), **options)
    return BackboneHeadConstructor(cfg, paramwise)(model or Net())


def test_two_groups_by_name():
    groups = built().optimizer.param_groups
    assert [(g['name'], len(g['params']), g['lr']) for g in groups] == [
        ('backbone', 5, 0.01),
        ('rest', 2, pytest.approx(0.1)),
    ]


@pytest.mark.parametrize(
    ('prefix', 'numbers'),
    [('backbone.1', (2, 5)), (['backbone.0', 'part'], (3, 4)), ('backbone', (4, 3))],
)
def test_prefix_says_what_the_backbone_is(prefix, numbers):
    groups = built(backbone_prefix=prefix).optimizer.param_groups
    assert tuple(len(group['params']) for group in groups) == numbers


def test_prefix_that_no_parameter_has_is_refused():
    with pytest.raises(ConfigError, match=r'backbone_prefix is back, but no parameter'):
        built(backbone_prefix='back')


def test_layers_that_bisenet_adds_to_its_resnet_learn_as_fast_as_its_heads():
    cfg = Config.fromfile(CONFIGS / 'bisenet' / 'r18_pytorchcv_voc_50e.py')
    cfg.model.backbone.context.init_cfg = None
    init_default_scope('mmseg')
    model = MODELS.build(cfg.model)
    wrapper = dict(cfg.optim_wrapper)
    paramwise = {key: value for key, value in wrapper.pop('paramwise_cfg').items()}
    assert wrapper.pop('constructor').endswith('BackboneHeadConstructor')
    groups = BackboneHeadConstructor(wrapper, paramwise)(model).optimizer.param_groups
    assert [group['lr'] for group in groups] == pytest.approx([0.008, 0.08])
    backbone = list(model.backbone.context.parameters())
    assert [len(group['params']) for group in groups] == [
        len(backbone),
        len(list(model.parameters())) - len(backbone),
    ]


def test_everything_decays_with_momentum():
    for group in built().optimizer.param_groups:
        assert (group['weight_decay'], group['momentum'], group['nesterov']) == (5e-4, 0.9, False)


def test_frozen_parameters_and_empty_groups_are_left_out():
    model = Net()
    model.decode_head.requires_grad_(False)
    model.backbone[1].requires_grad_(False)
    groups = built(model=model).optimizer.param_groups
    assert [(g['name'], len(g['params'])) for g in groups] == [('backbone', 3)]


def test_wrapped_model_is_looked_into():
    model = nn.Module()
    model.module = Net()
    assert len(built(model=model).optimizer.param_groups) == 2


def test_options_of_the_wrapper_pass_through():
    cfg = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=1.0), accumulative_counts=3)
    assert BackboneHeadConstructor(cfg)(Net())._accumulative_counts == 3


def test_unknown_group_option_is_refused():
    with pytest.raises(ConfigError, match=r'bias_lr_mult, .*head_lr_mult'):
        BackboneHeadConstructor(dict(optimizer=dict(type='SGD', lr=1)), dict(bias_lr_mult=2))


def rates(scheduler, wrapper, steps: int) -> list[list[float]]:
    """[[rate of each group] before each step]."""
    found = []
    for _ in range(steps):
        found.append([group['lr'] for group in wrapper.optimizer.param_groups])
        wrapper.step()
        scheduler.step()
    return found


def test_poly_follows_the_formula_for_every_group():
    wrapper = built(head_lr_mult=10)
    scheduler = PolyLR(wrapper, power=0.9, by_epoch=False, begin=0, end=4)
    # (1 - k / 4) ** 0.9
    factors = [1, 0.77189, 0.53589, 0.28717]
    for found, factor in zip(rates(scheduler, wrapper, 4), factors, strict=True):
        assert found == pytest.approx([0.01 * factor, 0.1 * factor], rel=1e-4)


def test_poly_starts_at_begin_and_ends_at_eta_min():
    wrapper = built(head_lr_mult=1)
    scheduler = PolyLR(wrapper, power=1.0, by_epoch=False, begin=2, end=4, eta_min=0.001)
    found = [first for first, _ in rates(scheduler, wrapper, 6)]
    # the last value before ``end`` stays afterwards
    assert found == pytest.approx([0.01, 0.01, 0.01, 0.0055, 0.0055, 0.0055])


def test_poly_resumed_with_another_end_follows_the_new_curve():
    wrapper = built(head_lr_mult=1)
    scheduler = PolyLR(wrapper, power=1.0, by_epoch=False, end=4)
    rates(scheduler, wrapper, 2)
    longer = built(head_lr_mult=1)
    resumed = PolyLR(longer, power=1.0, by_epoch=False, end=8)
    resumed.load_state_dict(scheduler.state_dict())
    # step 2 as saved, then 1 - 3 / 8 and 1 - 4 / 8
    found = [first for first, _ in rates(resumed, longer, 3)]
    assert found[1:] == pytest.approx([0.00625, 0.005])


def test_poly_late_in_a_long_run_has_not_drifted():
    wrapper = built(head_lr_mult=1)
    scheduler = PolyLR(wrapper, power=0.9, by_epoch=False, end=80000)
    scheduler.last_step = 79999
    assert scheduler._get_value()[0] == pytest.approx(0.01 * (1 / 80000) ** 0.9, rel=1e-12)


@in_one_test('file', sorted(SCHEDULES.glob('sgd_*.py')), ids=lambda file: file.stem)
def test_schedule_is_as_long_as_its_name_says(file):
    cfg = Config.fromfile(file)
    length = file.stem.removeprefix('sgd_').partition('_')[0]
    number = int(length[:-1])
    name, end = ('max_iters', 1000 * number) if length.endswith('k') else ('max_epochs', number)
    assert cfg.train_cfg[name] == end
    assert {'max_iters', 'max_epochs'} & set(cfg.train_cfg) == {name}
    assert 0 < cfg.train_cfg.val_interval <= end
    assert 'end' not in cfg.param_scheduler[-1]  # then it is that of the training
    assert cfg.param_scheduler[-1].get('epochs', number) == number


# what the authors' loaders drop: the incomplete batch of every pass
@in_one_test(
    ('images', 'batch', 'iterations'),
    [
        (2975, 12, 247),
        (10582, 64, 165),
        (2975, 64, 46),
        (2975, 8, 371),
        (18000, 16, 1125),
        (3, 8, 1),
    ],
)
def test_epoch_has_as_many_iterations_as_whole_batches(images, batch, iterations):
    for sampler in (InfiniteSampler(range(images), seed=0), SequentialSampler(range(images))):
        loader = DataLoader(range(images), batch_size=batch, sampler=sampler)
        assert iterations_per_epoch(loader) == iterations


def test_cpu_amp_computes_in_bfloat16_and_steps_in_float32():
    model = nn.Linear(4, 4)
    wrapper = BFloat16OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    before = model.weight.detach().clone()
    with wrapper.optim_context(model):
        outputs = model(torch.ones(1, 4))
    assert outputs.dtype == torch.bfloat16
    wrapper.update_params(outputs.float().sum())
    assert model.weight.dtype == torch.float32
    torch.testing.assert_close(model.weight, before - 0.1)
