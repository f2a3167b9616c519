"""Activations computed again: same outputs, gradients and running statistics."""

import copy

import pytest
import torch
from torch import nn

from benchmarks.core import kept_for_gradient
from openseg_plugin.layers.memory import recomputed
from openseg_plugin.registry import MODELS


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1))


def step(model, forward, inputs):
    forward(inputs).pow(2).sum().backward()
    gradients = [p.grad for p in model.parameters()]
    return gradients, {name: value.clone() for name, value in model.named_buffers()}


@pytest.mark.parametrize('training', [True, False])
def test_recomputed_part_gives_the_same_gradients_and_statistics(training):
    model = net().train(training)
    other = copy.deepcopy(model)
    inputs = torch.randn(2, 3, 8, 8)
    expected = step(model, model, inputs)
    found = step(other, lambda x: recomputed(other, other.forward, x), inputs)
    torch.testing.assert_close(found, expected)
    assert other[1].momentum == model[1].momentum


def test_nothing_is_kept_without_a_gradient():
    model, inputs = net().eval(), torch.randn(1, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(recomputed(model, model.forward, inputs), model(inputs))


def test_statistics_of_a_compiled_part_move_once_also_where_the_graph_breaks():
    model, inputs = net(), torch.randn(2, 3, 8, 8)
    other = copy.deepcopy(model)

    def broken(x):
        torch._dynamo.graph_break()
        return other(x)

    expected = step(model, model, inputs)
    part = torch.compile(lambda x: recomputed(other, broken, x), backend='aot_eager')
    torch.testing.assert_close(step(other, part, inputs), expected)


def test_statistics_of_an_instance_norm_move_once():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4, track_running_stats=True))
    other, inputs = copy.deepcopy(model), torch.randn(2, 3, 8, 8)
    expected = step(model, model, inputs)
    found = step(other, lambda x: recomputed(other, other.forward, x), inputs)
    torch.testing.assert_close(found, expected)


def test_hrnet_keeps_less_by_itself_and_least_when_asked_to():
    kept = {}
    for with_cp in (0, None, True):
        small = dict(type='openseg_plugin.HRNet', width=2, num_modules=(1, 1, 1), num_blocks=1)
        model = MODELS.build(dict(small, with_cp=with_cp)).train()
        inputs = torch.randn(2, 3, 64, 64)
        kept[with_cp] = kept_for_gradient(
            model, lambda m=model, x=inputs: sum(map(torch.sum, m(x)))
        )
    assert 0.8 * kept[0] > kept[None] > kept[True]


@pytest.mark.parametrize('with_cp', [None, True])
def test_hrnet_with_cp_gives_the_same_gradients_and_statistics(with_cp):
    small = dict(type='openseg_plugin.HRNet', width=2, num_modules=(1, 1, 1), num_blocks=1)
    plain = MODELS.build(dict(small, with_cp=False)).train()
    checkpointed = MODELS.build(dict(small, with_cp=with_cp)).train()
    checkpointed.load_state_dict(plain.state_dict())
    inputs = torch.randn(2, 3, 64, 64)
    results = [
        step(model, lambda x, model=model: torch.cat([m.flatten() for m in model(x)]), inputs)
        for model in (plain, checkpointed)
    ]
    torch.testing.assert_close(results[1], results[0])
