import pytest
import torch
from head_contract import WIDTHS, HeadContract, backbone_maps


class TestCCHead(HeadContract):
    HEAD = 'CCHead'
    DEFAULT_ARGS = dict(in_channels=WIDTHS, channels=8)
    LOSSES = {'loss_ce'}

    @pytest.mark.parametrize(('recurrence', 'reaches_all'), [(1, False), (2, True)])
    def test_recurrence_two_lets_every_pixel_reach_every_other(self, recurrence, reaches_all):
        head = self.build(recurrence=recurrence).eval()
        torch.nn.init.ones_(head.cca.gamma.scale)
        head.convs[0] = torch.nn.Conv2d(28, 8, 1)
        head.convs[1] = torch.nn.Conv2d(8, 8, 1)  # so that only the attention looks around
        head.conv_cat = torch.nn.Conv2d(36, 8, 1)
        feats = [x.requires_grad_() for x in backbone_maps((6, 7))]
        head(feats)[0, 0, 1, 2].backward()
        seen = feats[0].grad[0].abs().sum(0) > 0
        cross = torch.zeros(6, 7, dtype=torch.bool)
        cross[1], cross[:, 2] = True, True
        assert torch.equal(seen, torch.ones_like(cross) if reaches_all else cross)

    def test_leaky_relu_around_the_attention_leaves_the_other_activation_alone(self):
        head = self.build(context_act_cfg=dict(type='LeakyReLU', negative_slope=0.01))
        kinds = [type(conv.activate).__name__ for conv in (*head.convs, head.conv_cat)]
        assert kinds == ['LeakyReLU', 'LeakyReLU', 'ReLU']
