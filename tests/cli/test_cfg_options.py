"""Values of --cfg-options: mmengine's, and dicts and lists of dicts; nothing is executed."""

import pytest
from in_one_test import in_one_test

from openseg_plugin.cli.parser import ArgumentParser, parse_value
from openseg_plugin.errors import ConfigError


@in_one_test(
    ('text', 'value'),
    [
        ('4', 4),
        ('-1e-3', -0.001),
        ('true', True),
        ('None', None),
        ('EMAHook', 'EMAHook'),
        ('a/b c.png', 'a/b c.png'),
        ('1,2', [1, 2]),
        ('(1,2)', (1, 2)),
        ('[a,b]', ['a', 'b']),
        ('[(a,1),[b]]', [('a', 1), ['b']]),
        ("['two words',b]", ['two words', 'b']),
        ("[dict(type='EMAHook', momentum=0.1)]", [{'type': 'EMAHook', 'momentum': 0.1}]),
        ("{'a': dict(b=[1])}", {'a': {'b': [1]}}),
        ("__import__('os').getcwd()", "__import__('os').getcwd()"),
        ("dict(**{'a': 1})", "dict(**{'a': 1})"),
    ],
)
def test_text_becomes_its_value(text, value):
    assert parse_value(text) == value
    assert type(parse_value(text)) is type(value)


def test_pairs_of_several_options_come_together():
    parser = ArgumentParser()
    parser.add_cfg_options()
    args = parser.parse_args(['--cfg-options', 'a.b=1', 'c=x=y', '--cfg-options', 'd=[1]'])
    assert args.cfg_options == {'a.b': 1, 'c': 'x=y', 'd': [1]}


def test_what_is_no_pair_is_named():
    parser = ArgumentParser()
    parser.add_cfg_options()
    with pytest.raises(ConfigError, match=r'model\.x is not of the form key=value'):
        parser.parse_args(['--cfg-options', 'model.x'])
