"""HRNet2x: five maps from stride 2 on; its outputs are compared in tests/parity."""

import pytest
import torch

from openseg_plugin.errors import ConfigError
from openseg_plugin.models.backbones import HRNet2x

SMALL = dict(width=2, num_modules=(1, 1, 1, 1), num_blocks=1)


@pytest.mark.parametrize('size', [(64, 64), (97, 131), (33, 40), (1, 1)])
@torch.no_grad()
def test_forward_any_size_gives_five_maps_with_sides_rounded_up(size):
    maps = HRNet2x(**SMALL).eval()(torch.randn(1, 3, *size))
    assert [m.shape for m in maps] == [
        (1, s, -(-size[0] // s), -(-size[1] // s)) for s in (2, 4, 8, 16, 32)
    ]


@torch.no_grad()
def test_forward_align_corners_changes_the_exchange():
    torch.manual_seed(0)
    nets = [HRNet2x(align_corners=flag, **SMALL).eval() for flag in (True, False)]
    nets[1].load_state_dict(nets[0].state_dict())
    first, second = (net(torch.ones(1, 3, 64, 64).cumsum(3))[0] for net in nets)
    assert (first - second).abs().max() > 1e-3 * first.abs().max()


def test_training_step_reaches_every_parameter():
    net = HRNet2x(**SMALL)
    sum(m.square().mean() for m in net(torch.randn(2, 3, 64, 64))).backward()
    assert [name for name, p in net.named_parameters() if p.grad is None] == []


def test_norm_eval_keeps_the_running_statistics():
    net = HRNet2x(norm_eval=True, **SMALL).train()
    before = net.bn1.running_mean.clone()
    net(torch.randn(2, 3, 32, 32))
    assert torch.equal(net.bn1.running_mean, before)


def test_num_modules_of_wrong_length_is_refused():
    with pytest.raises(ConfigError, match=r'HRNet2x.*stage 1, 2, 3 and 4'):
        HRNet2x(num_modules=(1, 4, 3))
