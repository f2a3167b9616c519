import pytest
import torch

from openseg_plugin.engine.optim.schedulers import WarmupPolyLR


def schedule(steps=20, **options):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    scheduler = WarmupPolyLR(
        optimizer, warmup_iters=5, end=steps, by_epoch=False, **{'power': 0.9, **options}
    )
    return optimizer, scheduler


def rates(optimizer, scheduler, count):
    found = []
    for _ in range(count):
        found.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        scheduler.step()
    return found


@pytest.mark.parametrize('factor', [0.01, 1 / 3])
def test_warm_up_rises_in_equal_steps_to_the_full_rate(factor):
    found = rates(*schedule(warmup_factor=factor), 5)
    assert found == pytest.approx([0.5 * (factor + (1 - factor) * t / 5) for t in range(1, 6)])


@pytest.mark.parametrize('power', [0.9, 2.0])
@pytest.mark.parametrize('eta_min', [0.0, 0.1])
def test_the_rate_then_falls_to_eta_min_at_the_last_step(power, eta_min):
    found = rates(*schedule(power=power, eta_min=eta_min), 20)
    expected = [eta_min + (0.5 - eta_min) * (1 - (t - 5) / 15) ** power for t in range(6, 21)]
    assert found[5:] == pytest.approx(expected)
    assert found[-1] == pytest.approx(eta_min)


def test_resuming_continues_the_curve_of_the_config():
    optimizer, scheduler = schedule()
    whole = rates(optimizer, scheduler, 20)
    optimizer, scheduler = schedule()
    rates(optimizer, scheduler, 8)
    state = {**scheduler.state_dict(), 'warmup_iters': 100, 'end': 500}
    other, resumed = schedule()
    other.load_state_dict(optimizer.state_dict())
    resumed.load_state_dict(state)
    assert rates(other, resumed, 12) == pytest.approx(whole[8:])
