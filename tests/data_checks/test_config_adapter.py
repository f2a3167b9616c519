"""What the checks read of a config's heads."""

import pytest
from mmengine.config import Config

from openseg_plugin.data_checks.config_adapter import heads_of
from openseg_plugin.errors import ConfigError


def config(weights):
    loss = dict(type='openseg_plugin.CrossEntropyLoss', class_weight=str(weights))
    return Config(dict(model=dict(decode_head=dict(num_classes=3, loss_decode=loss))))


def test_class_weights_of_a_file_are_counted(tmp_path):
    path = tmp_path / 'weights.txt'
    path.write_text('1 2')
    (head,) = heads_of(config(path))
    assert head.class_weights == (('model.decode_head.loss_decode.class_weight', 2),)


def test_class_weights_of_a_file_that_is_missing_are_said_before_the_training(tmp_path):
    with pytest.raises(ConfigError, match=r'weights\.json'):
        list(heads_of(config(tmp_path / 'weights.json')))
