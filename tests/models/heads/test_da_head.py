import pytest
import torch
from head_contract import WIDTHS, HeadContract, backbone_maps, mmseg_head
from random_norms import shuffle_norms

from openseg_plugin.errors import ConfigError


class TestDAHead(HeadContract):
    HEAD = 'DAHead'
    DEFAULT_ARGS = dict(in_channels=WIDTHS, channels=8, key_channels=3)
    LOSSES = {'loss_ce', 'position.loss_ce', 'channel.loss_ce'}

    def test_weights_and_logits_are_those_of_mmseg(self):
        ours = shuffle_norms(self.build(align_corners=False)).eval()
        for attention in (ours.pam, ours.cam):
            torch.nn.init.constant_(attention.gamma.scale, 0.7)
        theirs = mmseg_head('DAHead', like=ours, channels=8, pam_channels=3)
        feats = backbone_maps((8, 16))
        total, position, channel = theirs(feats)
        torch.testing.assert_close(ours(feats), (position, channel, total))
        torch.testing.assert_close(ours.final_logits(feats), total)

    def test_normalize_over_changes_the_position_branch_alone(self):
        heads = [self.build(normalize_over=axis).eval() for axis in ('keys', 'queries')]
        torch.nn.init.ones_(heads[0].pam.gamma.scale)
        heads[1].load_state_dict(heads[0].state_dict())
        feats = backbone_maps()
        first, second = (head(feats) for head in heads)
        assert not torch.allclose(first[0], second[0])
        torch.testing.assert_close(first[1], second[1])

    def test_unknown_normalization_is_refused(self):
        with pytest.raises(ConfigError, match="normalize_over='rows'"):
            self.build(normalize_over='rows')


class TestDAHeadWithOneOutput(HeadContract):
    HEAD = 'DAHead'
    DEFAULT_ARGS = dict(
        in_channels=WIDTHS,
        channels=8,
        key_channels=3,
        normalize_over='queries',
        with_branch_outputs=False,
    )
    LOSSES = {'loss_ce'}
