"""The text that the data check prints: table of classes, sizes, weights, findings."""

import math
import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from openseg_plugin.data_checks.dataset_spec import Rules, Source, Split
from openseg_plugin.data_checks.examine import ClassCount, Record, count_classes
from openseg_plugin.data_checks.finding import NAMED, PLACE, Finding, several, verb

_WIDTH = 24  # of class names
_SIZES = 3
_REPORT = 'check_report'  # where the printed commands write a report


def class_table(source: Source, records: Sequence[Record]) -> list[str]:
    """Pixels and images per class and split, what is ignored, sizes, weights of the train split."""
    splits = [s for s in source.splits if any(pair.label for pair in s.pairs)]
    counts = {id(s): count_classes([r for r in records if r.split is s]) for s in splits}
    lines = [_sizes(s, [r for r in records if r.split is s]) for s in source.splits]
    rules = next((s.rules for s in splits if s.rules.classes), Rules())
    ids = range(len(rules.classes)) or sorted(
        {k for found in counts.values() for k in found if 0 <= k != rules.ignore_index}
    )
    if not splits or not ids or not any(counts.values()):
        return lines
    head = ''.join(f'{s.name[:14] + " pixels":>22}{"labels":>9}' for s in splits)
    lines += ['', f'{"class":<{_WIDTH + 4}}{head}']
    for k in ids:
        name = rules.classes[k] if k < len(rules.classes) else ''
        cells = ''.join(_cell(counts[id(s)], k, rules) for s in splits)
        lines.append(f'{k:>3} {name[:_WIDTH]:<{_WIDTH}}{cells}')
    lines.append(
        f'{"ignored":<{_WIDTH + 4}}' + ''.join(_fraction(counts[id(s)], rules) for s in splits)
    )
    train = next((s for s in splits if s.name.startswith('train')), splits[0])
    weights = class_weights(counts[id(train)], ids)
    if weights:
        text = ', '.join(f'{weight:.4f}' for weight in weights)
        lines += ['', f'class weights of {train.name}, 1 / ln(1.02 + fraction), mean 1:']
        lines.append(f'class_weight = [{text}]')
    return lines


def as_data(source: Source, records: Sequence[Record], findings: Sequence[Finding]) -> dict:
    """The same as data for JSON: splits with pixels and labels per class, weights, findings."""
    splits = []
    for split in source.splits:
        counts = count_classes([record for record in records if record.split is split])
        names = split.rules.classes
        classes = [
            dict(
                id=k,
                name=names[k] if 0 <= k < len(names) else None,
                pixels=counts[k].pixels,
                labels=len(counts[k].records),
                ignored=k == split.rules.ignore_index,
            )
            for k in sorted(counts)
        ]
        ids = range(len(names)) or [k for k in counts if 0 <= k != split.rules.ignore_index]
        splits.append(
            dict(
                name=split.name,
                images=len(split.pairs),
                classes=classes,
                class_weight=class_weights(counts, ids),
            )
        )
    found = [
        dict(
            key=finding.key,
            stops_training=finding.is_blocking,
            title=finding.title,
            meaning=finding.meaning,
            files=[str(path) for path in finding.files],
            advice=finding.advice,
            settings=finding.settings,
            commands=finding.commands,
        )
        for finding in findings
    ]
    return dict(splits=splits, findings=found)


def _cell(counts: dict[int, ClassCount], k: int, rules: Rules) -> str:
    found = counts.get(k, ClassCount())
    total = _valid(counts, rules)
    fraction = f'{100 * found.pixels / total:.2f} %' if total else ''
    return f'{found.pixels:>13}{fraction:>9}{len(found.records):>9}'


def _fraction(counts: dict[int, ClassCount], rules: Rules) -> str:
    found = counts.get(rules.ignore_index, ClassCount())
    total = sum(c.pixels for c in counts.values())
    fraction = f'{100 * found.pixels / total:.2f} %' if total else ''
    return f'{found.pixels:>13}{fraction:>9}{len(found.records):>9}'


def _valid(counts: dict[int, ClassCount], rules: Rules) -> int:
    return sum(c.pixels for k, c in counts.items() if k >= 0 and k != rules.ignore_index)


def class_weights(counts: dict[int, ClassCount], ids: Sequence[int]) -> list[float]:
    """1 / ln(1.02 + fraction of the pixels) (ENet, Sec. 5.2), scaled to mean 1.

    A class that never occurs has weight 1 and does not count in the mean; with one class there
    is nothing to weigh.
    """
    total = sum(counts[k].pixels for k in ids if k in counts)
    if not total or sum(k in counts for k in ids) < 2:
        return []
    raw = {k: 1 / math.log(1.02 + counts[k].pixels / total) for k in ids if k in counts}
    mean = sum(raw.values()) / len(raw)
    return [raw[k] / mean if k in raw else 1.0 for k in ids]


def _sizes(split: Split, records: Sequence[Record]) -> str:
    sizes = Counter(tuple(r.image['size']) for r in records if r.image and 'size' in r.image)
    shown = ', '.join(f'{w}x{h} ({n})' for (w, h), n in sizes.most_common(_SIZES))
    others = len(sizes) - _SIZES
    more = f' and {several(others, "other size")}' if others > 0 else ''
    labels = sum(1 for r in records if r.label and 'error' not in r.label)
    return (
        f'{split.name}: {several(len(split.pairs), "image")}, {several(labels, "label")}; '
        f'width x height '
        f'{shown or "unknown"}{more}'
    )


def describe(
    source: Source, findings: Sequence[Finding], *, report: Path | None = None
) -> list[str]:
    """All findings in words.

    Args:
        source: what was looked at.
        findings: what was found.
        report: folder of the report, None if none was written.
    """
    lines = []
    for number, finding in enumerate(findings, start=1):
        kind = 'STOPS TRAINING' if finding.is_blocking else 'warning'
        lines += ['', f'{number}. [{kind}] {finding.title}', f'   {finding.meaning}']
        if finding.files:
            lines.append(f'   files ({len(finding.files)}):')
            lines += [f'     {path}' for path in finding.files[:NAMED]]
            if len(finding.files) > NAMED:
                lines.append(f'     ... and {len(finding.files) - NAMED} more')
        if finding.advice:
            lines.append(f'   {finding.advice}')
        lines += [f'   {line}' for line in fix(source, finding, report=report)]
    stops = sum(finding.is_blocking for finding in findings)
    warnings = len(findings) - stops
    lines.append('')
    if stops:
        text = f'{several(stops, "finding")} {verb(stops, "stops", "stop")} the training'
        lines.append(f'{text}, {several(warnings, "warning")}.')
    elif warnings:
        lines.append(f'Training may start; {several(warnings, "warning")}.')
    else:
        lines.append('No findings: training may start.')
    return lines


def fix(source: Source, finding: Finding, *, report: Path | None) -> list[str]:
    """Lines with the commands and settings that fix a finding."""
    lines = []
    before = finding.needs_report and report is None
    if before:
        lines.append('fix: first write the lists of files:')
        lines.append(f'  {source.command} --report {_REPORT}')
    if finding.commands:
        lines.append('then:' if before else 'fix:')
        folder = Path(_REPORT) if before else report
        lines += [f'  {filled(text, folder)}' for text in finding.commands]
    if finding.moves:
        lines.append('fix (with --dry-run it only says what it would move, and where):')
    elif finding.commands:
        lines.append('or, in one step (with --dry-run it only says what it would do):')
    if finding.commands or finding.moves:
        lines.append(f'  {source.command} --apply-fix {finding.key}')
    if finding.settings:
        lines.append(
            'then train, and check, with these settings:'
            if finding.commands or finding.moves or before
            else 'fix: train, and check again, with these settings:'
        )
        # a config joins relative paths to data_root
        place = str((report or Path(_REPORT)).absolute())
        words = ' '.join(shlex.quote(text.replace(PLACE, place)) for text in finding.settings)
        lines.append(f'  --cfg-options {words}')
    return lines


def filled(command: str, report: Path | None) -> str:
    """A command with the path of the report."""
    return command if report is None else command.replace(PLACE, shlex.quote(str(report)))
