"""A loss that is inf or nan ends the run before it reaches the weights."""

from pathlib import Path
from typing import Any

import pytest
import torch
import toy_run
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn

from openseg_plugin.engine.hooks.invalid_loss import NotFiniteError, check_weights


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    return toy_run.write_data(tmp_path_factory.mktemp('data'), number=4)


@pytest.mark.parametrize('accumulate', [1, 4])
def test_nan_loss_stops_before_the_step_and_names_the_images(
    data, tmp_path, capsys, monkeypatch, accumulate
):
    stepped = []
    real_step = torch.optim.SGD.step
    monkeypatch.setattr(
        torch.optim.SGD, 'step', lambda *args, **kwargs: stepped.append(real_step(*args, **kwargs))
    )
    config = toy_run.toy_config(tmp_path, data)
    options = ['model.nan_at=3', f'optim_wrapper.accumulative_counts={accumulate}']
    options += ['default_hooks.checkpoint.interval=1', 'train_cfg.val_interval=1']
    assert toy_run.train(config, tmp_path / 'work', *options) == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert 'the loss is not finite at iteration 3 (loss_ce = nan)' in message
    assert message.count(str(data / 'train' / 'image')) == 2  # the batch
    last = toy_run.last_checkpoint(tmp_path / 'work')
    assert last['meta']['iter'] == 2
    assert all(torch.isfinite(value.float()).all() for value in last['state_dict'].values())
    assert {file.name for file in (tmp_path / 'work').glob('best_*')} <= {
        'best_mIoU_iter_1.pth',
        'best_mIoU_iter_2.pth',
    }


class ScaledOptimWrapper(OptimWrapper):
    """Scales losses as mixed precision with float16 does, without a GPU."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.loss_scaler = torch.amp.GradScaler('cpu', init_scale=4.0)

    def backward(self, loss: torch.Tensor, **options: Any) -> None:
        self.loss_scaler.scale(loss).backward(**options)
        self._inner_count += 1

    def step(self, **options: Any) -> None:
        self.loss_scaler.step(self.optimizer, **options)
        self.loss_scaler.update()


def test_as_many_losses_as_a_scaler_leaves_out_are_let_pass_and_no_more(
    data, tmp_path, capsys, monkeypatch
):
    """The scale of 4 is 1 after two of them."""
    monkeypatch.setitem(OPTIM_WRAPPERS.module_dict, 'ScaledOptimWrapper', ScaledOptimWrapper)
    config = toy_run.toy_config(tmp_path, data)
    options = ['optim_wrapper.type=ScaledOptimWrapper', 'default_hooks.checkpoint.interval=1']
    assert toy_run.train(config, tmp_path / 'goes_on', *options, 'model.nan_at=[3,4]') == 0
    last = toy_run.last_checkpoint(tmp_path / 'goes_on')
    assert last['meta']['iter'] == 8
    assert all(torch.isfinite(value.float()).all() for value in last['state_dict'].values())
    capsys.readouterr()
    assert toy_run.train(config, tmp_path / 'ends', *options, 'model.nan_at=[3,4,5]') == 2
    assert 'the loss is not finite at iteration 5' in capsys.readouterr().err


def test_weights_that_are_not_finite_are_never_saved(data, tmp_path, capsys):
    config = toy_run.toy_config(tmp_path, data)
    # a learning rate of 1e38 overflows the weights within a step whose own loss is finite
    options = ['optim_wrapper.optimizer.lr=1e38', 'default_hooks.checkpoint.interval=1']
    assert toy_run.train(config, tmp_path / 'work', *options) == 2
    assert 'not finite' in capsys.readouterr().err
    for file in (tmp_path / 'work').glob('*.pth'):
        state = torch.load(file, weights_only=False)['state_dict']
        assert all(torch.isfinite(value.float()).all() for value in state.values())


@pytest.mark.parametrize('value', [float('inf'), float('nan')])
@pytest.mark.parametrize('name', ['weight', 'running_var'])
def test_check_weights_names_the_bad_one(name, value):
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    check_weights(model)
    getattr(model[1], name).data[1] = value
    with pytest.raises(NotFiniteError, match=rf'1 of 6 weights are not finite, .* 1\.{name};'):
        check_weights(model)
