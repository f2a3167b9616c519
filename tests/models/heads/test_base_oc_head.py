import pytest
import torch
from head_contract import WIDTHS, HeadContract, backbone_maps
from random_norms import shuffle_norms


class TestBaseOCHead(HeadContract):
    HEAD = 'BaseOCHead'
    DEFAULT_ARGS = dict(
        in_channels=WIDTHS[0],
        in_index=0,
        channels=8,
        attention=dict(key_channels=4, value_channels=6),
    )
    LOSSES = {'loss_ce'}

    @pytest.mark.parametrize('conv_bias, number', [(False, 0), (True, 6)])
    def test_conv_bias_gives_every_convolution_before_a_norm_a_bias(self, conv_bias, number):
        names = self.build(conv_bias=conv_bias).state_dict()
        assert sum(name.endswith('conv.bias') for name in names) == number

    def test_context_comes_first_and_starts_at_zero(self):
        head = self.build().eval()
        seen = []
        head.bottleneck.register_forward_hook(lambda *args: seen.append(args[1][0]))
        head(backbone_maps())
        assert not seen[0][:, :8].any()
        assert seen[0][:, 8:].any()

    @pytest.mark.parametrize('pool_stride', [1, 2])
    def test_every_pixel_sees_every_other(self, pool_stride):
        attention = dict(key_channels=4, value_channels=6, pool_stride=pool_stride)
        head = shuffle_norms(self.build(attention=attention)).eval()
        torch.nn.init.normal_(head.self_attention.output_project.weight)
        feats = backbone_maps((9, 12))
        before = head.final_logits(feats)
        feats[0][..., -3:, -3:] += 5  # three rows below the reach of the 3x3 convolution
        change = (head.final_logits(feats) - before).abs()
        assert change[:, :, 0, 0].max() > 1e-6


class TestBaseOCHeadOfTheZoo(HeadContract):
    HEAD = 'BaseOCHead'
    DEFAULT_ARGS = dict(
        in_channels=WIDTHS,
        channels=8,
        attention=dict(key_channels=4, value_channels=4, key_convs=1, is_key_shared=True),
    )
    LOSSES = {'loss_ce'}
