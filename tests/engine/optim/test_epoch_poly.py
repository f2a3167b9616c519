"""Learning rate per epoch: the curve, the later phase, and going on after a stop."""

import pytest
import torch

from openseg_plugin.engine.optim.schedulers import EpochPolyLR
from openseg_plugin.errors import ConfigError

STEPS = 3
EPOCHS = 8


def scheduler(**options) -> EpochPolyLR:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    args = dict(power=2.0, begin=0, end=STEPS * EPOCHS, by_epoch=False, steps_per_epoch=STEPS)
    return EpochPolyLR(optimizer, **{**args, **options})


def rates(one: EpochPolyLR, steps: int) -> list[float]:
    found = []
    for _ in range(steps):
        found.append(one.optimizer.param_groups[0]['lr'])
        one.optimizer.step()
        one.step()
    return found


@pytest.mark.parametrize('power', [1.0, 2.0])
def test_rate_stays_for_an_epoch_and_follows_the_power(power):
    expected = [0.1 * (1 - step // STEPS / EPOCHS) ** power for step in range(STEPS * EPOCHS)]
    assert rates(scheduler(power=power), STEPS * EPOCHS) == pytest.approx(expected)


def test_poly2_doubles_the_power_from_an_epoch_on():
    found = rates(scheduler(double_from=5), STEPS * EPOCHS)[::STEPS]
    expected = [0.1 * (1 - e / EPOCHS) ** (2 if e < 5 else 4) for e in range(EPOCHS)]
    assert found == pytest.approx(expected)


def test_resumed_run_goes_on_with_the_curve_of_the_config():
    first = scheduler(power=1.0)
    rates(first, 7)
    second = scheduler(double_from=0)
    second.load_state_dict(first.state_dict())
    second.step()
    expected = 0.1 * (1 - 8 // STEPS / EPOCHS) ** 4
    assert second.optimizer.param_groups[0]['lr'] == pytest.approx(expected)


def test_length_of_an_epoch_follows_from_their_number():
    by_number = scheduler(steps_per_epoch=None, epochs=EPOCHS)
    assert rates(by_number, STEPS * EPOCHS) == rates(scheduler(), STEPS * EPOCHS)


@pytest.mark.parametrize(
    'options',
    [dict(steps_per_epoch=0), dict(by_epoch=True), dict(epochs=3), dict(steps_per_epoch=None)],
    ids=str,
)
def test_impossible_options_are_refused(options):
    with pytest.raises(ConfigError, match='steps_per_epoch'):
        scheduler(**options)
