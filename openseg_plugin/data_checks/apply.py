"""Applies the fix of a finding: new folders and moved files, never a label that is overwritten."""

import shlex
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from openseg_plugin.data_checks.dataset_spec import Source
from openseg_plugin.data_checks.finding import Finding
from openseg_plugin.data_checks.plural import several
from openseg_plugin.data_checks.report.text_report import filled
from openseg_plugin.errors import ConfigError, DataError
from openseg_plugin.utils import atomic, files

_CONVERT = ['python', 'tools/convert_dataset.py']


def apply_fix(
    source: Source,
    findings: Sequence[Finding],
    key: str,
    *,
    report: Path,
    dry_run: bool,
    convert: Callable[[Sequence[str]], int],
) -> list[str]:
    """What was done (or would be), in lines.

    Args:
        source: the dataset.
        findings: all of them.
        key: of the findings whose fix is wanted.
        report: folder for the tables and lists that a fix needs.
        dry_run: only say what would be done.
        convert: runs the converters with the arguments of their command line.

    Raises:
        ConfigError: there is no such finding, or none with a fix that a tool can apply.
        DataError: a conversion failed, or a file cannot be moved.
    """
    chosen = [finding for finding in findings if finding.key == key and finding.has_fix]
    if not chosen:
        known = sorted({finding.key for finding in findings if finding.has_fix})
        raise ConfigError(
            f'--apply-fix {key}: there is no such finding with a fix here; '
            + (f'give one of {", ".join(known)}' if known else 'no finding has a fix')
        )
    lines = []
    for finding in chosen:
        for name, content in finding.tables.items():
            lines.append(f'{_would(dry_run, "write")} {report / name}')
            if not dry_run:
                report.mkdir(parents=True, exist_ok=True)
                atomic.write_bytes(report / name, content.encode())
        lines += _moved(source, finding, dry_run=dry_run)
        for command in finding.commands:
            lines.append(f'{_would(dry_run, "run")} {filled(command, report)}')
            if not dry_run:
                _run(source, filled(command, report), convert)
        if finding.settings:
            words = ' '.join(shlex.quote(filled(text, report)) for text in finding.settings)
            lines.append(f'train, and check again, with --cfg-options {words}')
    return lines


def _would(dry_run: bool, verb: str) -> str:
    return f'would {verb}' if dry_run else {'write': 'wrote', 'run': 'ran', 'move': 'moved'}[verb]


def _run(source: Source, command: str, convert: Callable[[Sequence[str]], int]) -> None:
    words = shlex.split(command)
    if words[:2] != _CONVERT:
        raise ConfigError(f'run this yourself, it changes nothing in the data: {command}')
    if convert(words[2:]):
        raise DataError(f'the conversion failed, see above; nothing was changed: {command}')
    if not source.is_config and '--split' in words:
        _add_others(source, Path(words[4]))


def _add_others(source: Source, target: Path) -> None:
    """The splits that are right as they are, beside the converted ones."""
    for split in source.splits:
        if not split.part or (target / split.part).is_dir():
            continue
        for pair in split.pairs:
            for kind, path in (('image', pair.image), ('label', pair.label)):
                if path is not None and path.is_file():
                    files.place(path, target, f'{split.part}/{kind}/{path.name}', how='copy')


def _moved(source: Source, finding: Finding, *, dry_run: bool) -> list[str]:
    """Moves the files of a finding beside the dataset, where nothing is overwritten."""
    there = [path for path in finding.moves if path.is_symlink() or path.exists()]
    if not there:
        return []
    root = source.root.absolute() if source.root is not None else None
    unused = Path('unused').absolute() if root is None else root.with_name(f'{root.name}-unused')
    for path in [] if dry_run else there:
        own = path.absolute()
        inner = own.relative_to(root) if root and own.is_relative_to(root) else Path(path.name)
        target = _free(unused / inner)
        with atomic.target_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(own, target)
    shown = [f'  {path}' for path in there]
    return [f'{_would(dry_run, "move")} {several(len(there), "file")} to {unused}:', *shown]


def _free(path: Path) -> Path:
    """The path, or one with a number where that is taken."""
    number, free = 1, path
    while free.exists() or free.is_symlink():
        free = path.with_name(f'{path.stem}.{number}{path.suffix}')
        number += 1
    return free
