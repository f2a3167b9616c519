import pytest
import torch
from head_contract import WIDTHS, HeadContract, backbone_maps, mmseg_head
from random_norms import shuffle_norms


class TestDeepLabV3Head(HeadContract):
    HEAD = 'DeepLabV3Head'
    DEFAULT_ARGS = dict(in_channels=WIDTHS, channels=8, dilations=(1, 2, 3))
    LOSSES = {'loss_ce'}

    @pytest.mark.parametrize('dilations', [(1, 2, 3), (1, 12, 24, 36)])
    def test_weights_and_logits_are_those_of_mmseg(self, dilations):
        args = dict(channels=8, dilations=dilations, align_corners=False)
        ours = shuffle_norms(self.build(**args)).eval()
        theirs = mmseg_head('ASPPHead', like=ours, **args)
        feats = backbone_maps((8, 16))
        torch.testing.assert_close(ours(feats), theirs(feats))

    def test_a_bottleneck_of_1x1_sees_every_pixel_by_itself(self):
        head = self.build(bottleneck_kernel=1)
        assert head.bottleneck.conv.kernel_size == (1, 1)
        assert head(backbone_maps((8, 16))).shape[2:] == (8, 16)


class TestDeepLabV3HeadWithProjection(HeadContract):
    HEAD = 'DeepLabV3Head'
    DEFAULT_ARGS = dict(in_channels=WIDTHS, channels=8, dilations=(1, 2, 3), projection_dropout=0.0)
    LOSSES = {'loss_ce'}

    def test_a_1x1_convolution_narrows_the_branches_before_the_3x3_one(self):
        shapes = {name: tuple(value.shape) for name, value in self.build().state_dict().items()}
        assert shapes['projection.0.conv.weight'] == (8, 32, 1, 1)
        assert shapes['bottleneck.conv.weight'] == (8, 8, 3, 3)

    @pytest.mark.parametrize('ratio', [0.0, 0.5])
    def test_projection_dropout_is_the_fraction_dropped_in_training(self, ratio):
        assert self.build(projection_dropout=ratio).projection[1].p == ratio
