"""Which stored results there are, and which of them the package claims to reproduce.

``pytest tests/parity --fixture-dir DIR`` runs all that DIR holds, without the option what the
folders of ``fixture_files`` hold; whatever is unknown fails. The family is that of the folder, or
of the repository that the file names.
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
# cases with a test module of their own
OTHER_LOSSES = ('segfix',)
# (family, begin of the name) of stored results that are no networks -> kind
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
# run without --slow: one network per family and backbone
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
    'NVIDIA/semantic-segmentation': 'nvidia',
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
    return found


@cache
def elsewhere() -> set[str]:
    """Families found that are tested elsewhere."""
    roots = fixture_files.fixture_roots()
    return {_family_below(root, path) for root in roots for path in root.rglob('*.npz')} & set(
        ELSEWHERE
    )


@cache
def kind(family: str, name: str) -> str:
    """'network', one of ``SPECIAL``, or 'unknown'."""
    with np.load(files()[family, name], allow_pickle=False) as arrays:
        if 'keys' in arrays:
            return 'network'
    known = (kind for (whose, start), kind in SPECIAL.items()
             if whose == family and name.startswith(start))  # fmt: skip
    return next(known, 'unknown')


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
    return PARTS.get(first) or _family_of(path)


def _family_of(path: Path) -> str:
    with np.load(path, allow_pickle=False) as arrays:
        source = json.loads(str(arrays['meta'])).get('source_repo', '') if 'meta' in arrays else ''
    known = [family for start, family in _REPOSITORIES.items() if source.startswith(start)]
    return known[0] if known else path.parent.name
