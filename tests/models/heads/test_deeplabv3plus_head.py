"""DeepLabV3+ with its skip at the finest map: the contract, and what is different from mmseg's."""

import pytest
import torch
from head_contract import WIDTHS, HeadContract, backbone_maps


class TestDeepLabV3PlusHead(HeadContract):
    HEAD = 'DeepLabV3PlusHead'
    DEFAULT_ARGS = dict(
        in_channels=WIDTHS[2],
        in_index=2,
        channels=8,
        skip_in_channels=WIDTHS[0],
        skip_channels=4,
        dilations=(1, 2),
    )
    LOSSES = {'loss_ce'}

    @pytest.mark.parametrize('dilations', [(1,), (1, 2, 3)])
    def test_pyramid_has_a_branch_per_rate_and_the_mean_first(self, dilations):
        head = self.build(dilations=dilations).eval()
        maps = torch.ones(1, WIDTHS[2], 5, 7)
        found = head.pyramid(maps)
        assert found.shape == (1, (2 + len(dilations)) * 8, 5, 7)
        with torch.no_grad():
            expected = head.pyramid.pooled(maps.mean((2, 3), keepdim=True))
        torch.testing.assert_close(found[:, :8], expected.expand(-1, -1, 5, 7))

    def test_other_rates_give_other_logits(self):
        head = self.build().eval()
        other = self.build(dilations=(2, 1)).eval()
        other.load_state_dict(head.state_dict())
        feats = backbone_maps()
        assert not torch.allclose(head.final_logits(feats), other.final_logits(feats))
