"""The leaf configs, for the tests of all of them."""

from pathlib import Path

from mmengine.config import Config
from mmengine.registry import init_default_scope

ROOT = Path(__file__).resolve().parents[2] / 'configs'
LEAVES = sorted(
    path.relative_to(ROOT).as_posix() for path in ROOT.glob('*/*.py') if '_base_' not in path.parts
)
# SegFix knows no classes: test_segfix_configs.py
CLASSIFIERS = [leaf for leaf in LEAVES if not leaf.startswith('segfix/')]


def load(leaf: str) -> Config:
    cfg = Config.fromfile(ROOT / leaf)
    init_default_scope(cfg.default_scope)
    return cfg
