"""What a finding offers as a fix, and how it is applied.

Labels whose values moved by one are written anew into new folders; images that do not belong are
moved out with their labels. A label is never overwritten.
"""

import shlex
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from openseg_plugin.data_checks.dataset_spec import Rules, Source, Split
from openseg_plugin.data_checks.examine import Record, count_classes
from openseg_plugin.data_checks.finding import (
    PLACE,
    Finding,
    list_value,
    remapping,
    several,
    split_settings,
)
from openseg_plugin.data_checks.location_priors import far_from_home, meanings
from openseg_plugin.data_checks.report.text_report import filled
from openseg_plugin.errors import ConfigError, DataError
from openseg_plugin.utils import files

_FAR_LABELS = 0.1  # fraction of the labels

Fix = tuple[list[str], list[str], str]  # settings, commands, words


def moved_up_fix(
    source: Source, rules: Rules, values: Iterable[int], splits: Sequence[Split]
) -> Fix:
    """What moves the values of labels that count from one down again.

    Args:
        source: the dataset.
        rules: of the splits.
        values: raw values that occur.
        splits: whose labels moved.
    """
    if source.is_config and not (rules.label_map or rules.reduce_zero_label):
        chosen = replace(source, splits=list(splits))
        settings = split_settings(chosen, 'reduce_zero_label', True)
        if source.own_classes and rules.void_ids:
            void = list_value([v + 1 for v in rules.void_ids if v + 1 in values])
            settings += split_settings(chosen, 'metainfo.void_ids', void)
        return settings, [], 'reduce_zero_label moves all values down by one.'
    commands, settings = remapping(source, rules, meanings(rules, 1).tolist(), splits)
    return settings, commands, 'The command moves all values down by one.' if commands else ''


def moved_down_fix(
    source: Source, rules: Rules, splits: Sequence[Split], records: Sequence[Record]
) -> Fix:
    """What moves the values of labels that were reduced up again.

    Args:
        source: the dataset.
        rules: of the splits.
        splits: whose labels moved.
        records: of these splits; where 255 lies at the wrong end of the image for class 0, other
            pixels were ignored too, and no command can tell them apart.
    """
    if rules.reduce_zero_label and source.is_config:
        chosen = replace(source, splits=list(splits))
        settings = split_settings(chosen, 'reduce_zero_label', False)
        return settings, [], 'The labels have been reduced already, so the config must not.'
    commands, settings = remapping(source, rules, meanings(rules, -1).tolist(), splits)
    advice = 'The originals of these labels are the best fix.'
    if len(far_from_home(rules, records, 255)) > _FAR_LABELS * len(records):
        return [], [], f'{advice} What was ignored and class 0 are both 255 now.'
    if commands:
        advice += (
            ' The command moves all values up by one and takes 255 for class 0: right where no '
            'other pixels were ignored.'
        )
    return settings, commands, advice


# Files are left out of a split only where it keeps so much: else something else is wrong.
_MOST = 0.25  # fraction of its pairs that a split may lose
_KEPT = 0.99  # fraction of the pixels of every class that stay in a split
# the same where nothing can be trained on the files as they are, or another split has a copy
KEPT_OF_UNUSABLE = 0.25


def exclude(
    source: Source,
    key: str,
    files: Sequence[Path],
    records: Sequence[Record] = (),
    *,
    kept: float = _KEPT,
) -> dict[str, Any]:
    """Arguments of a finding: settings, tables and moves that take its files out.

    Where a list file names the images of a split, a shorter list is written into the report
    and nothing is moved; elsewhere the files are moved away. Empty where a split would lose more
    than a quarter of its pairs, or keep less than ``kept`` of the pixels of a class.

    Args:
        source: the dataset.
        key: of the finding.
        files: images or labels; a list loses the lines that name one of them.
        records: of all splits, to count the pixels of every class.
        kept: fraction of the pixels of every class that stay in a split; 0: one at least.
    """
    settings: list[str] = []
    tables: dict[str, str] = {}
    listed: set[Path | None] = set()
    unwanted = set(files)
    for split in source.splits:
        own = [pair for pair in split.pairs if pair.image in unwanted or pair.label in unwanted]
        number = max(len(own), sum(path in unwanted for path in split.extra_labels))
        if number > max(_MOST * len(split.pairs), 1):
            return {}
        if _loses_pixels(split, unwanted, records, kept):
            return {}
        if not split.lines:
            continue
        lines = []
        for pair, line in zip(split.pairs, split.lines):
            listed.update(p for p in (pair.image, pair.label) if p in unwanted)
            if pair.image not in unwanted and pair.label not in unwanted:
                lines.append(line)
        if len(lines) < len(split.lines):
            name = f'{key}_{split.name}.lst'
            tables[name] = ''.join(f'{line}\n' for line in lines)
            settings.append(f'{split.key}.ann_file={PLACE}/{name}')
    moves = [path for path in files if path not in listed]
    return {'settings': settings, 'moves': moves, 'tables': tables}


def _loses_pixels(
    split: Split, unwanted: set[Path], records: Sequence[Record], kept: float
) -> bool:
    own = [record for record in records if record.split is split]
    before = count_classes(own)
    after = count_classes([r for r in own if not unwanted & {r.pair.image, r.pair.label}])
    return any(
        k not in after or after[k].pixels < kept * found.pixels
        for k, found in before.items()
        if 0 <= k != split.rules.ignore_index
    )


def how_excluded(fix: dict[str, Any], what: str) -> str:
    """What the fix of :func:`exclude` does, in words."""
    if not fix:
        return (
            f'No command is given that leaves out {what}: a split would lose more than a quarter '
            'of its images, or too many pixels of a class.'
        )
    if fix['settings']:
        return f'The settings use lists without {what}.'
    return f'The command moves {what} out of the dataset.'


_CONVERT = ['openseg', 'convert-dataset']


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
                files.write_bytes(report / name, content.encode())
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
        with files.target_errors(target):
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
