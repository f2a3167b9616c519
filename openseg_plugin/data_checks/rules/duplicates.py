"""Images that are in two splits or twice in one: the same content, or a copy made anew."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from openseg_plugin.data_checks.dataset_spec import Source
from openseg_plugin.data_checks.examine import Record
from openseg_plugin.data_checks.file_facts import StderrCapture
from openseg_plugin.data_checks.finding import Finding, several, verb
from openseg_plugin.data_checks.fixes import KEPT_OF_UNUSABLE, exclude, how_excluded
from openseg_plugin.data_checks.perceptual_hash import near_hashes, same_image

_TRIES = 3  # near hashes of an image that are compared pixel by pixel

Couple = tuple[Record, Record]  # the one to exclude first


def duplicates(source: Source, records: Sequence[Record]) -> Finding | None:
    """Images of one split that are in another one too."""
    equal = list(_equal(source, records))
    used = {r.pair.image for couple in equal for r in couple}
    with StderrCapture():  # damaged images have a finding of their own
        alike = list(_alike(source, [r for r in records if r.pair.image not in used]))
    found = [*equal, *alike]
    if not found:
        return None
    one, other = found[0]
    same_files = all(a.pair.image == b.pair.image for a, b in found)
    copies = list(dict.fromkeys(p for r, _ in found for p in (r.pair.image, r.pair.label) if p))
    fix = {}
    if not same_files:
        fix = exclude(source, 'duplicate_images', copies, records, kept=KEPT_OF_UNUSABLE)
    kinds = f' ({len(alike)} of them in another format, encoding or size)' if alike else ''
    return Finding(
        'duplicate_images',
        False,
        f'{several(len(found), "image")} {verb(len(found), "is", "are")} in two splits{kinds}; '
        f'{one.pair.image} ({one.split.name}) is the same as {other.pair.image} '
        f'({other.split.name})',
        'The network is scored on images that it has learned, so the score is too high.'
        + (
            ' These are the very same files: right for a training on train + val, where the score '
            'means nothing.'
            if same_files
            else ''
        ),
        copies,
        [r for couple in found for r in couple],
        advice=''
        if same_files
        else how_excluded(fix, 'the copies in the split that is trained on (or comes first)'),
        **fix,
    )


def repeated(source: Source, records: Sequence[Record]) -> Finding | None:
    """Images that are in one split twice, pixel by pixel, under two names."""
    found: list[Couple] = []
    for split in source.splits:
        by_pixels: dict[str, list[Record]] = defaultdict(list)
        for record in records:
            if record.split is split and record.image and record.image.get('image_hash'):
                by_pixels[record.image['pixels']].append(record)
        for same in by_pixels.values():
            others = {r.pair.image: r for r in same}
            found += [(r, same[0]) for r in list(others.values())[1:]]
    if not found:
        return None
    one, other = found[0]
    differ = [
        a
        for a, b in found
        if a.label and b.label and a.label.get('counts') != b.label.get('counts')
    ]
    copies = list(dict.fromkeys(p for r, _ in found for p in (r.pair.image, r.pair.label) if p))
    fix = exclude(source, 'repeated_images', copies, records, kept=0)  # the first ones stay
    if differ:
        fix = {}  # nobody but the user knows which of two labels is right
    return Finding(
        'repeated_images',
        False,
        f'{several(len(found), "image")} {verb(len(found), "is", "are")} twice in a split; '
        f'{one.pair.image} is the same as {other.pair.image} ({one.split.name})'
        + (f'; {len(differ)} of them with another label' if differ else ''),
        'Such an image weighs twice in the training or in the score.'
        + (' Where the labels differ, one of the two is wrong.' if differ else ''),
        copies,
        [r for couple in found for r in couple],
        advice='Compare the two labels in the report (--report DIR) and keep the right one.'
        if differ
        else how_excluded(fix, 'the second ones'),
        **fix,
    )


def _equal(source: Source, records: Sequence[Record]) -> Iterator[Couple]:
    """Images whose files are equal, byte for byte."""
    by_content: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        if record.image and 'digest' in record.image:
            by_content[record.image['digest']].append(record)
    lists = _lists(source)
    for same in by_content.values():
        train = [r for r in same if _is_train(r)]
        others = [r for r in same if not _is_train(r)]
        if train and others:
            yield from ((record, others[0]) for record in train)
        elif len({lists[id(r.split)] for r in same}) > 1:
            first = same[0]
            yield from ((r, first) for r in same if r.split is not first.split)


def _lists(source: Source) -> dict[int, tuple[Path | None, ...]]:
    """Images by split; test is often val once more, which is no mistake."""
    return {id(s): tuple(pair.image for pair in s.pairs) for s in source.splits}


def _is_train(record: Record) -> bool:
    return record.split.name.startswith('train')


def _alike(source: Source, records: Sequence[Record]) -> Iterator[Couple]:
    """Images of two splits with other bytes and the same pixels."""
    hashed = [r for r in records if r.image and r.image.get('image_hash')]
    members = {id(s): [r for r in hashed if r.split is s] for s in source.splits}
    lists, taken = _lists(source), set()
    for place, first in enumerate(source.splits):
        for second in source.splits[place + 1 :]:
            both_trained = first.name.startswith('train') and second.name.startswith('train')
            if both_trained or lists[id(first)] == lists[id(second)]:
                continue
            for couple in _copies(members[id(first)], members[id(second)]):
                if couple[0].pair.image not in taken:
                    taken.add(couple[0].pair.image)
                    yield couple


def _copies(one: Sequence[Record], other: Sequence[Record]) -> Iterator[Couple]:
    near: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for bits, i, j in near_hashes(
        *([r.image_facts['image_hash'] for r in part] for part in (one, other))
    ):
        near[j].append((bits, i))
    for j, found in sorted(near.items()):
        for _, i in sorted(found)[:_TRIES]:
            first, second = one[i].pair.image_file, other[j].pair.image_file
            if first != second and same_image(first, second):
                yield one[i], other[j]
                break
