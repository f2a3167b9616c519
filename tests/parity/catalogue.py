"""Which stored results there are, and which of them the package claims to reproduce.

``pytest tests/parity --fixtures DIR`` runs all that DIR holds: what is not built yet or is unknown
fails. Without the option the folders of ``fixture_files`` count and what is declared here as not
built yet is left out; anything undeclared still fails.
"""

import json
from functools import cache
from pathlib import Path

import fixture_files
import numpy as np
import pytest

# families whose stored results are no networks or losses, with the tests that use them
ELSEWHERE = {'converters': 'tests/converters', 'segfix': 'tests/segfix'}
# the folders of a family of ELSEWHERE, where one folder alone is given
PARTS = {
    part: 'segfix' for part in ('gt', 'instance', 'metrics', 'prediction', 'refine', 'targets')
}
NOT_BUILT = {
    'openseg': (
        'asp_ocnet*',
        'base_ocnet*',
        'ce2p_*',
        'fcnet*',
        'hrnet_w48_asp_ocr*',
        'ideal_*',
        'isanet*',
        'spatial_asp_ocrnet*',
    ),
}
# cases of openseg/losses.npz whose losses come with later methods
LATER_LOSSES = ()
# cases with a test module of their own
OTHER_LOSSES = ('segfix',)
# stored results that are no networks -> kind
SPECIAL = {
    ('openseg', 'losses'): 'openseg losses',
    ('openseg', 'inplace_abn'): 'in-place ABN',
    ('hrnet_ocr', 'losses'): 'hrnet_ocr losses',
    ('hrnet_ocr', 'inference'): 'hrnet_ocr inference',
    ('jpu_zoo', 'misc'): 'jpu_zoo misc',
    ('nvidia', 'losses'): 'nvidia losses',
    ('paddleseg', 'losses'): 'paddleseg losses',
    ('nvidia', 'autolabel'): 'nvidia autolabel',
    ('nvidia', 'class_uniform'): 'nvidia class_uniform',
    ('nvidia', 'f_boundary'): 'nvidia f_boundary',
}
# run without --slow: one network per family and trunk
QUICK = {
    ('openseg', 'hrnet_w48_ocr_iabn'),
    ('openseg', 'spatial_ocrnet'),
    ('hrnet_ocr', 'seg_hrnet_ocr_w48_lip'),
    ('jpu_zoo', 'fcn_resnet50_v1s_plain_noaux'),
}
_REPOSITORIES = {
    'openseg-group/': 'openseg',
    'HRNet/HRNet-Semantic': 'hrnet_ocr',
    'AceCoooool/': 'jpu_zoo',
    'PaddlePaddle/PaddleSeg': 'paddleseg',
}


@cache
def files() -> dict[tuple[str, str], Path]:
    """(family, name) -> file of everything that is to be run; the first folder wins."""
    found: dict[tuple[str, str], Path] = {}
    for root in fixture_files.fixture_roots():
        for path in sorted(root.rglob('*.npz')):
            family = _family_below(root, path)
            if family not in ELSEWHERE:
                found.setdefault((family, path.stem), path)
    if fixture_files.is_given():
        return found
    return {key: path for key, path in found.items() if not is_later(*key)}


@cache
def elsewhere() -> set[str]:
    """Families found that are tested elsewhere."""
    roots = fixture_files.fixture_roots()
    return {_family_below(root, path) for root in roots for path in root.rglob('*.npz')} & set(
        ELSEWHERE
    )


def is_later(family: str, name: str) -> bool:
    """Whether a method that is not built yet is needed."""
    return any(Path(name).match(pattern) for pattern in NOT_BUILT.get(family, ()))


@cache
def kind(family: str, name: str) -> str:
    """'network', one of ``SPECIAL``, or 'unknown'."""
    if (family, name) in SPECIAL:
        return SPECIAL[family, name]
    with np.load(files()[family, name], allow_pickle=False) as arrays:
        return 'network' if 'keys' in arrays else 'unknown'


def params(wanted: str) -> list:
    """Parameters (family, name) for the tests of one kind."""
    return [
        pytest.param(
            *key,
            id='/'.join(key),
            marks=[pytest.mark.slow] if wanted == 'network' and not _is_quick(key) else [],
        )
        for key in files()
        if kind(*key) == wanted
    ]


def _is_quick(key: tuple[str, str]) -> bool:
    return key in QUICK or fixture_files.is_given()


def _family_below(root: Path, path: Path) -> str:
    """Family of a file below the folder of all families or of one."""
    first = path.relative_to(root).parts[0]
    if first in fixture_files.FAMILIES:
        return first
    if root.name in fixture_files.FAMILIES:
        return root.name
    return _family_of(path) if path.parent == root else PARTS.get(first, first)


def _family_of(path: Path) -> str:
    with np.load(path, allow_pickle=False) as arrays:
        source = json.loads(str(arrays['meta'])).get('source_repo', '') if 'meta' in arrays else ''
    known = [family for start, family in _REPOSITORIES.items() if source.startswith(start)]
    return known[0] if known else path.parent.name
