import pytest
import torch
from head_contract import WIDTHS, HeadContract, backbone_maps, mmseg_head
from random_norms import shuffle_norms

from openseg_plugin.errors import ConfigError


class TestFCNHead(HeadContract):
    HEAD = 'FCNHead'
    DEFAULT_ARGS = dict(in_channels=WIDTHS, channels=8)
    LOSSES = {'loss_ce'}

    @pytest.mark.parametrize('kernel_size', [1, 3])
    def test_weights_and_logits_are_those_of_mmseg(self, kernel_size):
        args = dict(channels=8, kernel_size=kernel_size, align_corners=False)
        ours = shuffle_norms(self.build(**args)).eval()
        theirs = mmseg_head('FCNHead', like=ours, num_convs=1, concat_input=False, **args)
        feats = backbone_maps((8, 16))
        torch.testing.assert_close(ours(feats), theirs(feats))

    @pytest.mark.parametrize('conv_bias', [True, False])
    def test_conv_bias_decides_whether_the_convolution_has_one(self, conv_bias):
        head = self.build(conv_bias=conv_bias)
        assert ('convs.0.conv.bias' in head.state_dict()) is conv_bias

    def test_without_a_convolution_the_classifier_sees_the_maps(self):
        width = sum(WIDTHS)
        head = self.build(channels=width, num_convs=0).eval()
        feats = backbone_maps((8, 16))
        expected = head.conv_seg(head._transform_inputs(feats))
        torch.testing.assert_close(head(feats), expected)
        with pytest.raises(ConfigError, match=f'num_convs=0, in_channels={width} and channels=8'):
            self.build(num_convs=0)


class TestFCNHeadOnOneMap(HeadContract):
    HEAD = 'FCNHead'
    DEFAULT_ARGS = dict(in_channels=WIDTHS[1], in_index=1, channels=8)
    LOSSES = {'loss_ce'}

    def logits_shape(self, channels, size):
        return (2, channels, -(-size[0] // 2), -(-size[1] // 2))
