import pytest
import torch
from head_contract import WIDTHS, HeadContract, backbone_maps, mmseg_head
from random_norms import shuffle_norms


class TestPSPHead(HeadContract):
    HEAD = 'PSPHead'
    DEFAULT_ARGS = dict(in_channels=WIDTHS, channels=8)
    LOSSES = {'loss_ce'}

    @pytest.mark.parametrize('pool_scales', [(1, 2, 3, 6), (1, 2, 3, 4)])
    def test_weights_and_logits_are_those_of_mmseg(self, pool_scales):
        args = dict(channels=8, pool_scales=pool_scales, align_corners=False)
        ours = shuffle_norms(self.build(**args)).eval()
        theirs = mmseg_head('PSPHead', like=ours, **args)
        feats = backbone_maps((8, 16))
        torch.testing.assert_close(ours(feats), theirs(feats))

    def test_pools_may_have_another_width_than_what_is_classified(self):
        head = self.build(channels=8, pool_channels=3, pool_scales=(3, 1))
        shapes = {name: tuple(value.shape) for name, value in head.state_dict().items()}
        assert shapes['psp_modules.1.1.conv.weight'] == (3, sum(WIDTHS), 1, 1)
        assert shapes['bottleneck.conv.weight'] == (8, sum(WIDTHS) + 2 * 3, 3, 3)
        assert head(backbone_maps((8, 16))).shape[2:] == (8, 16)
