"""The leaf configs, for the tests of all of them."""

from pathlib import Path

from mmengine.config import Config
from mmengine.registry import init_default_scope

ROOT = Path(__file__).resolve().parents[2] / 'configs'
LEAVES = sorted(
    path.relative_to(ROOT).as_posix() for path in ROOT.glob('*/*.py') if '_base_' not in path.parts
)


def by_method(leaves: list[str]) -> dict[str, list[str]]:
    """Leaves by their folder: one test goes through the leaves of one method."""
    methods: dict[str, list[str]] = {}
    for leaf in leaves:
        methods.setdefault(leaf.split('/')[0], []).append(leaf)
    return methods


METHODS = by_method(LEAVES)
# SegFix knows no classes: test_segfix_configs.py
CLASSIFIERS = [leaf for leaf in LEAVES if not leaf.startswith('segfix/')]


def load(leaf: str) -> Config:
    cfg = Config.fromfile(ROOT / leaf)
    init_default_scope(cfg.default_scope)
    return cfg


def representatives(leaves: list[str]) -> list[str]:
    """The first leaf of every combination of parts: head, losses, segmentor, norm, neck.

    Backbones do not count: the tests that train stand something small in for them.
    """
    chosen: dict[tuple[str, ...], str] = {}
    for leaf in leaves:
        model = {key: part for key, part in load(leaf).model.items() if key != 'backbone'}
        chosen.setdefault(tuple(sorted(_types(model))), leaf)
    return list(chosen.values())


def _types(part: object) -> set[str]:
    """Every ``type`` inside a part of a config."""
    if isinstance(part, dict):
        own = {part['type']} if 'type' in part else set()
        return own.union(*(_types(value) for value in part.values()))
    if isinstance(part, list | tuple):
        return set().union(*(_types(value) for value in part))
    return set()
