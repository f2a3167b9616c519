import pytest
import torch
from head_contract import WIDTHS, HeadContract, backbone_maps
from random_norms import shuffle_norms

from openseg_plugin.registry import MODELS


class TestPSPHead(HeadContract):
    HEAD = 'PSPHead'
    DEFAULT_ARGS = dict(in_channels=WIDTHS, channels=8)
    LOSSES = {'loss_ce'}

    @pytest.mark.parametrize('pool_scales', [(1, 2, 3, 6), (1, 2, 3, 4)])
    def test_weights_and_logits_are_those_of_mmseg(self, pool_scales):
        args = dict(channels=8, pool_scales=pool_scales, align_corners=False)
        ours = shuffle_norms(self.build(**args)).eval()
        theirs = MODELS.build(
            dict(
                type='mmseg.PSPHead',
                in_channels=WIDTHS,
                in_index=(0, 1, 2, 3),
                input_transform='resize_concat',
                num_classes=5,
                norm_cfg=dict(type='BN'),
                loss_decode=[],
                **args,
            )
        ).eval()
        theirs.load_state_dict(ours.state_dict())
        feats = backbone_maps((8, 16))
        torch.testing.assert_close(ours(feats), theirs(feats))
