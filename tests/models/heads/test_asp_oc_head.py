import pytest
from head_contract import WIDTHS, HeadContract


class TestASPOCHead(HeadContract):
    HEAD = 'ASPOCHead'
    DEFAULT_ARGS = dict(
        in_channels=WIDTHS[0],
        in_index=0,
        channels=8,
        asp_channels=6,
        attention=dict(key_channels=4, value_channels=4, pool_stride=2),
        dilations=(1, 2, 3),
    )
    LOSSES = {'loss_ce'}

    @pytest.mark.parametrize('conv_bias, number', [(False, 0), (True, 6)])
    def test_conv_bias_leaves_out_the_dilated_branches(self, conv_bias, number):
        names = self.build(conv_bias=conv_bias).state_dict()
        biases = [name for name in names if name.endswith('conv.bias')]
        assert len(biases) == number
        assert not any('branches' in name for name in biases)


class TestASPOCHeadOfTheZoo(HeadContract):
    HEAD = 'ASPOCHead'
    DEFAULT_ARGS = dict(
        TestASPOCHead.DEFAULT_ARGS,
        attention=dict(
            key_channels=4, value_channels=8, key_convs=1, is_key_shared=True, pool_stride=2
        ),
        with_in_conv=False,
        with_context_conv=True,
    )
    LOSSES = {'loss_ce'}
