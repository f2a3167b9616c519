"""Findings about files: missing, extra, broken, of another size, turned, or in two splits."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from openseg_plugin.doctor.examine import Record
from openseg_plugin.doctor.exif_findings import (
    drawn_on_stored,
    is_on_stored,
    loaded,
    sizes,
    turned,
)
from openseg_plugin.doctor.finding import FILE_LIST, Finding
from openseg_plugin.doctor.source import Source

# Moves the files of a list out of the data set; files of one name get numbers.
_MOVE_OUT = f"mkdir -p unused && xargs -d '\\n' -a {FILE_LIST} mv --backup=numbered -t unused --"


def file_findings(source: Source, records: Sequence[Record]) -> Iterator[Finding]:
    """Everything wrong with files as such, most important first."""
    for finding in (
        _missing_pictures(records),
        _missing_labels(records),
        _broken(records),
        _other_size(records),
        drawn_on_stored(source, records),
        turned(records),
        _duplicates(source, records),
        _extra(source),
    ):
        if finding is not None:
            yield finding


def _error(facts: dict | None) -> str:
    return '' if facts is None else facts.get('error', '')


def _missing_pictures(records: Sequence[Record]) -> Finding | None:
    found = [r for r in records if _error(r.picture) == 'missing']
    if not found:
        return None
    return Finding(
        'missing_picture',
        True,
        f'{len(found)} of {len(records)} pictures are missing',
        'The list of the split names them, but there are no such files; the run would stop when it '
        'comes to the first of them.',
        [r.pair.picture for r in found],
        advice='Put the files there, or take their lines out of the list of the split.',
    )


def _missing_labels(records: Sequence[Record]) -> Finding | None:
    found = [r for r in records if _error(r.label) == 'missing' and _error(r.picture) != 'missing']
    if not found:
        return None
    return Finding(
        'missing_label',
        True,
        f'{len(found)} of {len(records)} pictures have no label; the first one expected is '
        f'{found[0].pair.label}',
        'A picture without label cannot be trained on, and the loader stops there.',
        [r.pair.picture for r in found],
        found,
        commands=[_MOVE_OUT],
        advice='Put the labels there, or take the pictures out of the data set with the command.'
        + (
            ' None of the pictures has a label: the folder or the ending of the labels '
            '(seg_map_suffix) is more likely wrong than the files.'
            if len(found) == len(records)
            else ''
        ),
    )


def _broken(records: Sequence[Record]) -> Finding | None:
    concerned, files, reasons = [], [], []
    for record in records:
        bad = [
            (path, _error(facts))
            for path, facts in (
                (record.pair.picture, record.picture),
                (record.pair.label, record.label),
            )
            if _error(facts) not in ('', 'missing')
        ]
        if bad and not {path for path, _ in bad} <= set(files):
            concerned.append(record)
            # a picture goes with its label: one without the other would be the next finding
            files += [
                bad[0][0],
                *(
                    p
                    for p in (record.pair.picture, record.pair.label)
                    if p is not None and p != bad[0][0]
                ),
            ]
            reasons += bad
    if not concerned:
        return None
    first, why = reasons[0]
    return Finding(
        'unreadable',
        True,
        f'{len(reasons)} files cannot be read; {first.name}: {why}',
        'The run would stop when it comes to such a file, perhaps after hours; OpenCV fills the '
        'rest of a picture that is cut short with grey, without a word.',
        files,
        concerned,
        commands=[_MOVE_OUT],
        advice='Copy or download the files again; the command takes them out of the data set '
        'together with their picture or label. Reasons: '
        + '; '.join(f'{path.name}: {text}' for path, text in reasons[:5]),
    )


def _other_size(records: Sequence[Record]) -> Finding | None:
    found = [
        r for r in records if (both := sizes(r)) and both[0] != loaded(r) and not is_on_stored(r)
    ]
    if not found:
        return None
    label, picture = found[0].label['size'], loaded(found[0])
    same_shape = all(
        r.label['size'][0] * loaded(r)[1] == r.label['size'][1] * loaded(r)[0] for r in found
    )
    return Finding(
        'size_mismatch',
        True,
        f'{len(found)} labels have another size than their picture; '
        f'{found[0].pair.label.name} is {label[0]}x{label[1]}, its picture is '
        f'{picture[0]}x{picture[1]} (width x height)',
        'Picture and label are cut and turned together pixel by pixel; of another size they do '
        'not belong together, and the run would stop.',
        [p for r in found for p in (r.pair.label, r.pair.picture)],
        found,
        commands=[_MOVE_OUT],
        advice=(
            'The shapes agree: the label was made at another resolution; export it again at the '
            'size of the picture (a label is never resized with smoothing). '
            if same_shape
            else 'The shapes differ too: look whether the label belongs to another picture. '
        )
        + 'The command takes the pairs out of the data set.',
    )


def _duplicates(source: Source, records: Sequence[Record]) -> Finding | None:
    by_content: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        if record.picture and 'digest' in record.picture:
            by_content[record.picture['digest']].append(record)
    lists = {s.name: [pair.picture for pair in s.pairs] for s in source.splits}
    found, copies = [], []
    for same in by_content.values():
        train = [r for r in same if r.split.name.startswith('train')]
        others = [r for r in same if not r.split.name.startswith('train')]
        first = {s.name for s in {id(r.split): r.split for r in same}.values()}
        if train and others:
            found.append((train[0], others[0]))
            copies += train
        elif len(first) > 1 and len({tuple(lists[name]) for name in first}) > 1:
            found.append((others[0], next(r for r in others if r.split is not others[0].split)))
            copies += [found[-1][1]]
    if not found:
        return None
    one, other = found[0]
    same_files = all(a.pair.picture == b.pair.picture for a, b in found)
    return Finding(
        'duplicate_pictures',
        False,
        f'{len(found)} pictures are in two splits; {one.pair.picture} ({one.split.name}) is the '
        f'same as {other.pair.picture} ({other.split.name})',
        'The network is scored on pictures that it has learned, so the score is too high. '
        + (
            'These are the very same files: right for a training on train + val, where the score '
            'means nothing.'
            if same_files
            else ''
        ),
        list(dict.fromkeys(p for r in copies for p in (r.pair.picture, r.pair.label) if p)),
        [r for r, _ in found],
        commands=[] if same_files else [_MOVE_OUT],
        advice=''
        if same_files
        else 'The command takes the copies in the split that is trained on (or comes first) out, '
        'with their labels.',
    )


def _extra(source: Source) -> Finding | None:
    files: list[Path] = list(dict.fromkeys(p for s in source.splits for p in s.extra_labels))
    if not files:
        return None
    return Finding(
        'extra_label',
        False,
        f'{len(files)} labels belong to no picture',
        'They are never read. Often the picture is missing, or is named in another way.',
        files,
        commands=[_MOVE_OUT],
        advice='Put the pictures there, or take the labels out with the command.',
    )
