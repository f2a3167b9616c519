"""The data check on broken and on unusual labels: found, no false alarm, and fixes that are right.

A normal run takes every third kind and every correct set; ``--slow`` takes all.
"""

import contextlib
import io
from pathlib import Path

import label_kinds
import label_sets
import numpy as np
import pytest
from label_kinds import Kind
from label_sets import LabelSet
from PIL import Image

from openseg_plugin.cli.check_dataset import main
from openseg_plugin.data_checks.config_adapter import read_config
from openseg_plugin.data_checks.dataset_spec import Source
from openseg_plugin.data_checks.examine import examine
from openseg_plugin.data_checks.finding import Finding
from openseg_plugin.data_checks.folder_adapter import read_folder
from openseg_plugin.data_checks.rules import find_all

_OFTEN = 3  # of the kinds, one in so many is tried in a normal run
_KEPT = 0.99  # fraction of the pixels of every class that a fix must leave right


@pytest.fixture(scope='module')
def street() -> LabelSet:
    return label_sets.street()


def _kinds(kinds: list[Kind]) -> list:
    return [
        pytest.param(kind, id=kind.name, marks=[pytest.mark.slow] if number % _OFTEN else [])
        for number, kind in enumerate(kinds)
    ]


def _made(street: LabelSet, kind: Kind, folder: Path) -> tuple[LabelSet, Path, list[str]]:
    """The set, what is checked (a folder or a config), and the options for it."""
    labels = label_sets.fresh(street)
    kind.change(labels)
    root = label_sets.write(labels, folder / 'set')
    if labels.is_config:
        return labels, label_sets.config(labels, root, folder / 'c.py'), []
    label_sets.summary(labels, root)
    reduce = ['--reduce-zero-label'] if labels.options.get('reduce_zero_label') else []
    return labels, root, reduce


def _findings(path: Path, options: dict[str, object] | None = None) -> tuple[Source, list[Finding]]:
    source = read_folder(path) if path.is_dir() else read_config(str(path), options=options)
    return source, find_all(source, examine(source))


@pytest.mark.parametrize('kind', _kinds(label_kinds.BROKEN))
def test_broken_labels_are_named_and_every_offered_fix_is_right(street, tmp_path, kind):
    labels, path, more = _made(street, kind, tmp_path)
    source, findings = _findings(path)
    keys = [finding.key for finding in findings]
    assert set(keys) & set(kind.keys), keys
    before = {file: file.read_bytes() for file in (tmp_path / 'set').rglob('*') if file.is_file()}
    for finding in findings:
        if finding.commands or finding.moves:
            _apply(path, finding, more, tmp_path)
            _assert_right(labels, source, finding, tmp_path)
    kept = {file for root in ('set', 'set-unused') for file in (tmp_path / root).rglob('*')}
    contents = {file.read_bytes() for file in kept if file.is_file()}
    assert set(before.values()) <= contents


def _apply(path: Path, finding: Finding, more: list[str], folder: Path) -> None:
    if any('check-dataset' in command for command in finding.commands):
        return  # another way to check
    arguments = [str(path), *more, '--cache', str(folder / 'cache'), '--apply-fix', finding.key]
    arguments += ['--report', str(folder / 'report')]
    with contextlib.redirect_stdout(io.StringIO()):
        assert main([*arguments, '--dry-run']) == 0
        assert not (folder / 'set-fixed').exists() and not (folder / 'set-unused').exists()
        assert main(arguments) == 0


def _assert_right(labels: LabelSet, source: Source, finding: Finding, folder: Path) -> None:
    """The labels that are left, or were made anew, say what the scenes show."""
    is_new = bool(finding.commands)
    root = folder / ('set-fixed' if is_new else 'set')
    if not root.exists():
        return
    found = {p.stem: p for p in root.glob('*/label/*')}
    seen = dict.fromkeys(range(len(labels.classes)), (0, 0))
    for split in labels.splits.values():
        for sample in split:
            if sample.truth is None or sample.name not in found:
                continue
            with Image.open(found[sample.name]) as image:
                values = np.asarray(image)
            if values.shape != sample.truth.shape:
                pytest.fail(f'{finding.key}: {sample.name} has another size')
            for k in seen:
                own = sample.truth == k
                seen[k] = seen[k][0] + int((values == k)[own].sum()), seen[k][1] + int(own.sum())
    del source
    wrong = {k: n for k, n in seen.items() if n[0] < _KEPT * n[1]}
    if is_new or finding.key not in ('missing_label', 'unreadable'):
        assert not wrong, f'{finding.key}: class -> (right, all pixels): {wrong}'


@pytest.mark.parametrize('kind', [pytest.param(kind, id=kind.name) for kind in label_kinds.CORRECT])
def test_correct_unusual_labels_have_no_findings(street, tmp_path, kind):
    _, path, _ = _made(street, kind, tmp_path)
    _, findings = _findings(path)
    assert not findings, [finding.title for finding in findings]


def test_there_are_as_many_kinds_as_promised():
    assert len(label_kinds.BROKEN) >= 41 and len(label_kinds.CORRECT) >= 14
