"""Configs are found by name, in a checkout and in an installed package."""

from pathlib import Path

import pytest

from openseg_plugin import paths
from openseg_plugin.errors import ConfigError

PROJECT = Path(paths.__file__).resolve().parent.parent
LEAF = 'ocr/hrnet48_cityscapes_80k.py'


@pytest.mark.parametrize('name', [LEAF, f'configs/{LEAF}', LEAF.removesuffix('.py')])
def test_checkout_config_is_found(name):
    assert paths.config_path(name) == PROJECT / 'configs' / LEAF


@pytest.mark.parametrize(
    ('name', 'hint'),
    [
        ('ocr/hrnet48_cityscape_80k.py', f'near matches: {LEAF}'),
        ('hrnet48_cityscapes_80k.py', f'near matches: .*{LEAF}'),
        ('zzz', 'it has the folders .*ocr'),
        ('../setup.py', 'there is no config'),
    ],
)
def test_unknown_config_names_near_ones(name, hint):
    with pytest.raises(ConfigError, match=hint):
        paths.config_path(name)
