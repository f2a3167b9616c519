"""Other people's mmengine in the same process: it saves, resumes and loads as it does alone.

Every scheduler and optimizer that mmengine registers is trained for a few iterations, saved,
resumed and loaded to test, by mmengine's own runner and hooks.
"""

import copy
import itertools
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import mmengine.optim.scheduler as schedulers
import pytest
import torch
import toy_run
from in_one_test import in_one_test
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner, load_checkpoint
from torch import nn
from torch.utils.data import DataLoader

from openseg_plugin.engine.runner.resume import check_optimizer
from openseg_plugin.errors import CheckpointError

_runs = itertools.count()
STEPS = 3


class Toy(BaseModel):
    """mmengine's example in small: features, a layer, cross entropy."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3, bias=False)

    def forward(self, inputs, labels, mode='tensor'):
        scores = self.layer(inputs)
        if mode == 'loss':
            return {'loss': nn.functional.cross_entropy(scores, labels)}
        return [scores.argmax(1)] if mode == 'predict' else scores


class Accuracy(BaseMetric):
    """Fraction of right answers."""

    def process(self, data_batch: Any, data_samples: Any) -> None:
        self.results.append(0.5)

    def compute_metrics(self, results: list) -> dict[str, float]:
        return {'accuracy': sum(results) / len(results)}


def data() -> DataLoader:
    generator = torch.Generator().manual_seed(0)
    pairs = [(torch.randn(4, generator=generator), k % 3) for k in range(6)]
    return DataLoader(pairs, batch_size=2)


def runner(work_dir: Path, **changes: Any) -> Runner:
    """mmengine's runner as its guide to the first 15 minutes sets it up."""
    settings = dict(
        model=Toy(),
        work_dir=str(work_dir),
        train_dataloader=data(),
        train_cfg=dict(by_epoch=True, max_epochs=STEPS, val_interval=1),
        val_dataloader=data(),
        val_cfg={},
        val_evaluator=Evaluator(Accuracy()),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01, momentum=0.9)),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1)),
        experiment_name=f'others{next(_runs)}',
        log_level='ERROR',
    )
    return Runner(**{**settings, **changes})


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    with mock.patch('mmengine.config.config.FormatCode', toy_run.as_it_is, create=True):
        yield


def state(run: Runner) -> tuple[Any, ...]:
    return (
        run.model.state_dict(),
        run.optim_wrapper.state_dict(),
        [scheduler.last_step for scheduler in run.param_schedulers or ()],
        run.optim_wrapper.get_lr(),
    )


def assert_resumes_and_loads(tmp_path: Path, *, is_exact: bool = True, **changes: Any) -> None:
    """A run resumed in the middle ends as one that never stopped, and its file loads to test."""
    whole = runner(tmp_path / 'whole', **changes)
    torch.manual_seed(0)
    nn.init.ones_(whole.model.layer.weight)
    whole.train()
    (tmp_path / 'cut').mkdir()
    middle = tmp_path / 'whole' / 'epoch_2.pth'
    again = runner(tmp_path / 'cut', load_from=str(middle), resume=True, **changes)
    again.train()
    assert (again.epoch, again.iter) == (whole.epoch, whole.iter)
    if is_exact:
        for one, other in zip(state(whole), state(again), strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=0)
    model = Toy()
    checkpoint = load_checkpoint(model, str(tmp_path / 'whole' / f'epoch_{STEPS}.pth'))
    assert torch.equal(model.layer.weight, whole.model.layer.weight)
    assert checkpoint['meta']['epoch'] == STEPS


SCHEDULERS = {
    **{name: {} for name in ('ConstantLR', 'ConstantMomentum', 'LinearLR', 'LinearMomentum')},
    **{name: dict(step_size=2) for name in ('StepLR', 'StepMomentum')},
    **{name: dict(milestones=[2, 5]) for name in ('MultiStepLR', 'MultiStepMomentum')},
    **{name: dict(gamma=0.9) for name in ('ExponentialLR', 'ExponentialMomentum')},
    **{name: dict(T_max=9) for name in ('CosineAnnealingLR', 'CosineAnnealingMomentum')},
    **{name: dict(end=9) for name in ('PolyLR', 'PolyMomentum')},
    'OneCycleLR': dict(eta_max=0.1, total_steps=20),
    'CosineRestartLR': dict(periods=[4, 5], restart_weights=[1, 0.5], eta_min=0.001),
    'CosineRestartMomentum': dict(periods=[4, 5], restart_weights=[1, 0.5], eta_min=0.001),
    'ReduceOnPlateauLR': dict(by_epoch=True, monitor='accuracy', patience=1, rule='greater'),
    'ReduceOnPlateauMomentum': dict(by_epoch=True, monitor='accuracy', patience=1, rule='greater'),
}
SCHEDULERS['OneCycleLR, linear'] = dict(SCHEDULERS['OneCycleLR'], anneal_strategy='linear')


def test_no_scheduler_of_mmengine_is_forgotten():
    registered = {
        name
        for name, kind in vars(schedulers).items()
        if isinstance(kind, type) and name.endswith(('LR', 'Momentum'))
    }
    assert registered <= set(SCHEDULERS)


@pytest.mark.parametrize('name', SCHEDULERS)
def test_runs_with_every_scheduler_are_resumed_and_tested(tmp_path, name):
    options = dict(by_epoch=False) | SCHEDULERS[name]
    assert_resumes_and_loads(
        tmp_path,
        # mmengine saves before the validation that these go by, so one of their steps is lost
        is_exact='Plateau' not in name,
        param_scheduler=dict(type=name.partition(',')[0], **options),
    )


OPTIMIZERS = [
    name
    for name, kind in sorted(vars(torch.optim).items())
    if isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer)
]
# mmengine trains with neither: one needs a closure, one sparse gradients
NOT_FOR_THIS = {'Optimizer', 'LBFGS', 'SparseAdam'}
NAMES = {'Adafactor': 'TorchAdafactor'}  # as mmengine calls torch's


@pytest.mark.parametrize('name', [name for name in OPTIMIZERS if name not in NOT_FOR_THIS])
def test_runs_with_every_optimizer_are_resumed_and_tested(tmp_path, name):
    assert_resumes_and_loads(
        tmp_path, optim_wrapper=dict(optimizer=dict(type=NAMES.get(name, name), lr=0.01))
    )


@pytest.mark.parametrize('name', [name for name in OPTIMIZERS if name not in NOT_FOR_THIS])
def test_states_of_every_optimizer_are_taken_and_those_of_another_model_are_named(name):
    def stepped(*shapes: tuple[int, ...]) -> tuple[nn.Module, OptimWrapper]:
        shapes = [shape for shape in shapes if name != 'Muon' or len(shape) == 2]  # all it takes
        model = nn.Module()
        for number, shape in enumerate(shapes):
            model.register_parameter(f'weight{number}', nn.Parameter(torch.ones(shape)))
        options = dict(momentum=0.9) if name in ('SGD', 'RMSprop') else {}
        optimizer = getattr(torch.optim, name)(model.parameters(), lr=0.01, **options)
        for _ in range(STEPS):
            for parameter in model.parameters():
                parameter.grad = torch.ones_like(parameter)
            optimizer.step()
        return model, OptimWrapper(optimizer)

    shapes = (2, 3, 3, 3), (3, 4), (4,)
    (_, saved), (model, own) = stepped(*shapes), stepped(*shapes)
    before = copy.deepcopy((model.state_dict(), own.state_dict()))
    assert not check_optimizer(dict(optimizer=saved.state_dict()), own, model, source='a.pth')
    torch.testing.assert_close((model.state_dict(), own.state_dict()), before, rtol=0, atol=0)
    _, other = stepped((2, 4, 3, 3), (5, 3), (6,))
    words = r'a\.pth holds .* of weight\d is of shape \(.*\), and the parameter is of \(.*\)'
    with pytest.raises(CheckpointError, match=words):
        check_optimizer(dict(optimizer=other.state_dict()), own, model, source='a.pth')


def test_states_of_the_optimizers_that_mmengine_does_not_train_with_are_read(tmp_path):
    for name in sorted(NOT_FOR_THIS - {'Optimizer'}):
        layer = nn.Embedding(4, 3, sparse=name == 'SparseAdam')

        def loss(layer=layer, optimizer=None):
            value = layer(torch.tensor([1, 2])).square().sum()
            optimizer.zero_grad()
            value.backward()
            return value

        optimizer = getattr(torch.optim, name)(layer.parameters(), lr=0.1)
        for _ in range(STEPS):
            optimizer.step(partial(loss, optimizer=optimizer))
        path = tmp_path / f'{name}.pth'
        torch.save(dict(state_dict=layer.state_dict(), optimizer=optimizer.state_dict()), path)
        found = load_checkpoint(nn.Embedding(4, 3), str(path))['optimizer']
        torch.testing.assert_close(found, optimizer.state_dict(), rtol=0, atol=0)


@in_one_test(
    'hook',
    [
        dict(type='EMAHook'),
        dict(type='EarlyStoppingHook', monitor='accuracy', patience=9),
        dict(type='EmptyCacheHook'),
        dict(type='SyncBuffersHook'),
        dict(type='RuntimeInfoHook'),
    ],
    ids=lambda hook: hook['type'],
)
def test_runs_with_hooks_that_keep_a_state_are_resumed_and_tested(tmp_path, hook):
    if hook['type'] == 'EMAHook':  # the file has the averaged weights under the model's names
        run = runner(tmp_path / 'whole', custom_hooks=[hook])
        run.train()
        again = runner(
            tmp_path / 'cut', load_from=str(tmp_path / 'whole' / 'epoch_2.pth'), resume=True,
            custom_hooks=[hook],
        )  # fmt: skip
        again.train()
        assert torch.equal(run.model.layer.weight, again.model.layer.weight)
        return
    assert_resumes_and_loads(tmp_path, custom_hooks=[hook])


def test_automatic_resume_finds_the_last_checkpoint(tmp_path):
    runner(tmp_path).train()
    longer = dict(by_epoch=True, max_epochs=STEPS + 1, val_interval=1)
    again = runner(tmp_path, resume=True, train_cfg=longer)
    again.train()
    assert again.epoch == STEPS + 1
