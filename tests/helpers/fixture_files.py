"""Where the stored reference results ("fixtures") of the tests lie.

``pytest --fixture-dir DIR`` uses DIR alone. Without it: ``tests/data/parity``, and any folder next
to the project that holds ``parity/recipe.py``. A root has one folder per family (``FAMILIES``);
DIR may also be one family's folder itself, as in
``pytest tests/converters --fixture-dir some/trees``.
The functions work while tests are collected, so they can feed ``pytest.mark.parametrize``.
"""

from pathlib import Path

FAMILIES = ('openseg', 'hrnet_ocr', 'nvidia', 'paddleseg', 'jpu_zoo', 'segfix', 'converters')
PROJECT = Path(__file__).resolve().parents[2]
DEFAULT = PROJECT / 'tests' / 'data' / 'parity'

_given: Path | None = None


def give(folder: str | None) -> None:
    """Take the value of ``--fixture-dir``; called once by ``conftest.py``.

    Raises:
        FileNotFoundError: There is no such folder.
    """
    global _given
    _given = Path(folder).resolve() if folder else None
    if _given is not None and not _given.is_dir():
        raise FileNotFoundError(f'--fixture-dir {folder}: there is no such folder')


def is_given() -> bool:
    """Whether ``--fixture-dir`` was given: then an empty or unknown folder is a failure."""
    return _given is not None


def fixture_roots() -> list[Path]:
    """The folders with one folder per family; that of ``--fixture-dir`` alone where it is given."""
    if _given is not None:
        return [_given]
    beside = (recipe.parent for recipe in sorted(PROJECT.parent.glob('*/parity/recipe.py')))
    return [folder for folder in (DEFAULT, *beside) if folder.is_dir()]


def fixture_dirs(family: str) -> list[Path]:
    """The folders that hold the fixtures of ``family``, in the order of :func:`fixture_roots`.

    Raises:
        KeyError: ``family`` is not one of ``FAMILIES``.
    """
    if family not in FAMILIES:
        raise KeyError(f'unknown family {family!r}; known: {", ".join(FAMILIES)}')
    folders = []
    for root in fixture_roots():
        if (root / family).is_dir():
            folders.append(root / family)
        elif _given is not None and not any((root / other).is_dir() for other in FAMILIES):
            folders.append(root)
    return folders
