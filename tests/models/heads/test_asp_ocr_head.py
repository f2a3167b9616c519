import pytest
from head_contract import WIDTHS, HeadContract, backbone_maps
from random_norms import shuffle_norms


class TestASPOCRHead(HeadContract):
    HEAD = 'ASPOCRHead'
    DEFAULT_ARGS = dict(
        in_channels=WIDTHS,
        channels=8,
        asp_channels=6,
        key_channels=4,
        dilations=(1, 2, 3),
        region=dict(channels=6, kernel_size=3),
    )
    LOSSES = {'loss_ce', 'region.loss_ce'}

    @pytest.mark.parametrize('conv_bias, number', [(False, 0), (True, 13)])
    def test_conv_bias_gives_every_convolution_before_a_norm_a_bias(self, conv_bias, number):
        names = self.build(conv_bias=conv_bias).state_dict()
        assert sum(name.endswith('conv.bias') for name in names) == number

    @pytest.mark.parametrize('dilations', [(1,), (2, 4), (6, 12, 18)])
    def test_dilations_make_one_branch_each(self, dilations):
        branches = self.build(dilations=dilations).asp.branches
        assert [conv.conv.dilation[0] for conv in branches.convs] == [1, *dilations]
        assert branches.bottleneck.conv.in_channels == 6 * (2 + len(dilations))

    def test_context_depends_on_the_regions(self):
        head = shuffle_norms(self.build()).eval()
        feats = backbone_maps()
        before = head.final_logits(feats)
        head.region_seg.weight.data.mul_(50)
        assert (head.final_logits(feats) - before).abs().max() > 1e-3


class TestASPOCRHeadOnTwoMaps(HeadContract):
    """As on a ResNet: regions from one map, pixel features from another."""

    HEAD = 'ASPOCRHead'
    DEFAULT_ARGS = dict(
        TestASPOCRHead.DEFAULT_ARGS,
        in_channels=WIDTHS[0],
        in_index=0,
        region=dict(channels=6, in_index=1, in_channels=WIDTHS[1], kernel_size=3),
    )
    LOSSES = {'loss_ce', 'region.loss_ce'}
