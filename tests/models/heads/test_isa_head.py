import pytest
import torch
from head_contract import WIDTHS, HeadContract, backbone_maps
from mmseg.models.decode_heads.isa_head import ISAHead as MMSegISAHead
from random_norms import shuffle_norms

from openseg_plugin.errors import ConfigError


class TestISAHead(HeadContract):
    HEAD = 'ISAHead'
    DEFAULT_ARGS = dict(
        in_channels=WIDTHS[0], in_index=0, channels=8, key_channels=4, windows=((4, 3),)
    )
    LOSSES = {'loss_ce'}

    @pytest.mark.parametrize('size', [(8, 8), (7, 9), (1, 1)])
    def test_weights_and_logits_are_those_of_mmseg(self, size):
        ours = self.build(
            windows=((4, 4),), value_bias=True, is_context_first=True, align_corners=False
        )
        shuffle_norms(ours).eval()
        theirs = MMSegISAHead(
            loss_decode=[],
            isa_channels=4,
            down_factor=(4, 4),
            in_channels=WIDTHS[0],
            in_index=0,
            channels=8,
            num_classes=5,
            norm_cfg=dict(type='BN'),
            align_corners=False,
        ).eval()
        state = {k.removeprefix('relations.0.'): v for k, v in ours.state_dict().items()}
        theirs.load_state_dict(state, strict=True)
        feats = backbone_maps(size)
        torch.testing.assert_close(ours(feats), theirs(feats), rtol=1e-4, atol=1e-5)

    def test_several_windows_widen_the_features_to_all_contexts(self):
        head = self.build(windows=((4, 4), (2, 3), (1, 8)))
        assert head.up_conv.conv.weight.shape[:2] == (24, 8)
        assert head.out_conv.conv.weight.shape[:2] == (8, 48)
        assert len(head.relations) == 3

    @pytest.mark.parametrize('is_context_first', [False, True])
    def test_context_order_decides_what_the_last_convolution_sees_first(self, is_context_first):
        head = self.build(is_context_first=is_context_first).eval()
        seen = []
        head.in_conv.register_forward_hook(lambda *args: seen.append(args[2]))
        head.out_conv.register_forward_hook(lambda *args: seen.append(args[1][0]))
        head(backbone_maps())
        features, joined = seen
        half = joined[:, 8:] if is_context_first else joined[:, :8]
        torch.testing.assert_close(half, features)

    @pytest.mark.parametrize('windows', [(), (8, 8), ((8,),), ((8, 0),), ((8, 2.5),)])
    def test_windows_that_are_no_pairs_are_refused(self, windows):
        with pytest.raises(ConfigError, match='windows='):
            self.build(windows=windows)


class TestISAHeadWithTwoWindows(HeadContract):
    HEAD = 'ISAHead'
    DEFAULT_ARGS = dict(in_channels=WIDTHS, channels=8, key_channels=4, windows=((4, 3), (2, 2)))
    LOSSES = {'loss_ce'}
