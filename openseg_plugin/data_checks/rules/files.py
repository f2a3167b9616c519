"""Findings about files: missing, extra, broken, of another size, turned, or in two splits.

Turned: images that carry a camera's mark (EXIF orientation).
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from openseg_plugin.data_checks.dataset_spec import Source
from openseg_plugin.data_checks.examine import Record
from openseg_plugin.data_checks.finding import Finding, several, verb
from openseg_plugin.data_checks.fixes import KEPT_OF_UNUSABLE, exclude, how_excluded
from openseg_plugin.data_checks.rules.duplicates import duplicates, repeated
from openseg_plugin.utils.images import TURNED


def sizes(record: Record) -> tuple[list, list] | None:
    """Sizes of label and of image as stored; None where one is not known."""
    if not record.image or not record.label:
        return None
    if 'size' not in record.image or 'size' not in record.label:
        return None
    return record.label['size'], record.image['size']


def _upright(record: Record) -> list:
    size = record.image_facts['size']
    return size[::-1] if record.image_facts['turn'] in TURNED else size


def loaded(record: Record) -> list:
    """Size of the image as the loader of the split gives it."""
    if record.split.size is not None:
        return list(record.split.size)
    return _upright(record) if record.split.turns_images else record.image_facts['size']


def is_on_stored(record: Record) -> bool:
    """The label fits the image only where the EXIF orientation is not applied."""
    both = sizes(record)
    return (
        both is not None
        and record.split.size is None
        and record.image_facts['turn'] in TURNED
        and both[0] == both[1] != _upright(record)
    )


def drawn_on_stored(source: Source, records: Sequence[Record]) -> Finding | None:
    """Images that are turned when loaded, with labels that were drawn before."""
    found = [r for r in records if is_on_stored(r) and r.split.turns_images]
    if not found:
        return None
    keys = dict.fromkeys(r.split.pipeline_key for r in found if r.split.pipeline_key)
    all_keys = dict.fromkeys(s.pipeline_key for s in source.splits if s.pipeline_key and keys)
    others = [
        r
        for r in records
        if r.image and r.image.get('turn', 1) not in (0, 1) and not is_on_stored(r)
    ]
    advice = (
        'With color_type=color_ignore_orientation in LoadImageFromFile images are loaded as '
        'stored, as the labels are'
    )
    advice += '.' if source.is_config else '; the command checks the folder the same way.'
    if others:  # the setting would be wrong for those
        all_keys = {}
        advice = (
            f'The labels of {several(len(others), "other image")} may have been drawn on the '
            'turned image, so no setting is right for all: save the images upright and without '
            'the mark, and turn the labels that do not fit.'
        )
    return Finding(
        'exif_label_not_turned',
        True,
        f'EXIF: {several(len(found), "image")} {verb(len(found), "is", "are")} turned by the '
        f"camera's mark when loaded, but {verb(len(found), 'its label was', 'their labels were')} "
        'drawn on the image as stored',
        'The loader turns the image and not the label, so the sizes differ and the run stops.',
        [r.pair.image_file for r in found],
        found,
        [f'{key}.color_type=color_ignore_orientation' for key in all_keys],
        [] if source.is_config or others else [_check_stored(source)],
        advice,
    )


def _check_stored(source: Source) -> str:
    return f'{source.command} --ignore-exif'


def turned(records: Sequence[Record]) -> Finding | None:
    """Images that are turned when loaded, with labels that may be right."""
    found = [
        r
        for r in records
        if r.image
        and r.image.get('turn', 1) not in (0, 1)
        and r.split.turns_images
        and not is_on_stored(r)
    ]
    if not found:
        return None
    doubtful = [
        r for r in found if r.image_facts['turn'] not in TURNED or len(set(_upright(r))) == 1
    ]
    return Finding(
        'exif_rotated',
        False,
        f"EXIF: {several(len(found), 'image')} {verb(len(found), 'carries', 'carry')} a camera's "
        f'mark to turn or flip {verb(len(found), "it", "them")}',
        'The loader applies the mark to the image; labels have no such mark. '
        + (
            f'For {len(doubtful)} of {len(found)} the size does not tell whether the label was '
            'drawn on the turned image.'
            if doubtful
            else 'Labels and turned images have one size, so this is right here; programs that '
            'ignore the mark will show the images turned.'
        ),
        [r.pair.image_file for r in found],
        found,
        advice='Look at the overlays in the report. To be safe, save such images upright once '
        'and without the mark, before labels are drawn.',
    )


def file_findings(source: Source, records: Sequence[Record]) -> Iterator[Finding]:
    """Everything wrong with files as such, most important first."""
    for finding in (
        _missing_images(source, records),
        _missing_labels(source, records),
        _broken(source, records),
        _damaged(source, records),
        _other_size(source, records),
        drawn_on_stored(source, records),
        turned(records),
        duplicates(source, records),
        repeated(source, records),
        _extra(source),
    ):
        if finding is not None:
            yield finding


def _error(facts: dict | None) -> str:
    return '' if facts is None else facts.get('error', '')


def _missing_images(source: Source, records: Sequence[Record]) -> Finding | None:
    found = [r for r in records if _error(r.image) == 'missing']
    if not found:
        return None
    if not any(r.split.lines for r in found):
        return _lost_images(source, found, len(records))
    files = [r.pair.image_file for r in found]
    fix = exclude(source, 'missing_image', files, records, kept=KEPT_OF_UNUSABLE)
    fix.pop('moves', None)  # there is nothing to move
    return Finding(
        'missing_image',
        True,
        f'{len(found)} of {several(len(records), "image")} {verb(len(found), "is", "are")} missing',
        'The list of the split names such a file, but it does not exist; the run would stop when '
        'it comes to the first one.',
        files,
        advice='Put the files there, or take their lines out of the list.'
        + _endings(found)
        + (f' {how_excluded(fix, "them")}' if fix.get('settings') else ''),
        **fix,
    )


def _endings(found: Sequence[Record]) -> str:
    """A word on lists whose lines have the ending that the dataset class adds."""
    twice = [
        r
        for r in found
        if len(r.pair.image_file.suffixes) > 1
        and r.pair.image_file.suffixes[-1:] * 2 == r.pair.image_file.suffixes[-2:]
    ]
    if len(twice) < len(found):
        return ''
    return (
        f' The lines of the list end in {twice[0].pair.image_file.suffix}, which the dataset class '
        'adds once more (img_suffix): write the names without it.'
    )


def _lost_images(source: Source, found: Sequence[Record], number: int) -> Finding:
    """Images that no list names: links that lead nowhere, or labels whose image is gone."""
    links = [r.pair.image_file for r in found if r.pair.image_file.is_symlink()]
    files = [p for r in found for p in (r.pair.image, r.pair.label) if p and os.path.lexists(p)]
    fix = exclude(source, 'missing_image', files) if files else {}
    why = 'A label stands without its image, perhaps it was moved or deleted.'
    if links:
        why = (
            f'{links[0].name} is a link to {os.readlink(links[0])}, which leads nowhere: what it '
            'points to was moved or deleted, or lies on a disk that is not there.'
        )
    return Finding(
        'missing_image',
        True,
        f'{len(found)} of {several(number, "image")} {verb(len(found), "is", "are")} missing'
        + (f'; {len(links)} of them are links that lead nowhere' if links[1:] else '')
        + (f'; {links[0].name} is a link that leads nowhere' if len(links) == 1 else ''),
        f'{why} The run would stop when it comes to the first one.',
        files or [r.pair.image_file for r in found],
        advice='Put the images there.'
        + (f' {how_excluded(fix, "what is left of such pairs")}' if fix else ''),
        **fix,
    )


def _missing_labels(source: Source, records: Sequence[Record]) -> Finding | None:
    found = [r for r in records if _error(r.label) == 'missing' and _error(r.image) != 'missing']
    if not found:
        return None
    links = [r.pair.label_file for r in found if r.pair.label_file.is_symlink()]
    files = [*(r.pair.image_file for r in found), *links]
    fix = exclude(source, 'missing_label', files, records, kept=KEPT_OF_UNUSABLE)
    return Finding(
        'missing_label',
        True,
        f'{len(found)} of {several(len(records), "image")} {verb(len(found), "has", "have")} no '
        f'label; the first one expected is {found[0].pair.label}'
        + (f'; {links[0].name} is a link that leads nowhere' if links else ''),
        'An image without label cannot be trained on, and the loader stops there.',
        files,
        found,
        advice='Put the labels there, or leave the images out. '
        + how_excluded(fix, 'the images and such links' if links else 'the images')
        + (
            ' None of the images has a label: the folder or the ending of the labels '
            '(seg_map_suffix) is more likely wrong than the files.'
            if len(found) == len(records)
            else ''
        ),
        **fix,
    )


def _broken(source: Source, records: Sequence[Record]) -> Finding | None:
    concerned: list[Record] = []
    files: dict[Path, None] = {}
    reasons: dict[Path, str] = {}
    for record in records:
        pair = record.pair
        both = ((pair.image, record.image), (pair.label, record.label))
        errors = {path: _error(facts) for path, facts in both if path is not None}
        bad = {path: error for path, error in errors.items() if error not in ('', 'missing')}
        if bad and not bad.keys() <= reasons.keys():
            concerned.append(record)
            # an image goes with its label: one without the other would be the next finding
            there = [path for path, error in errors.items() if error != 'missing']
            files.update(dict.fromkeys([*bad, *there]))
            reasons |= bad
    if not concerned:
        return None
    first, why = next(iter(reasons.items()))
    fix = exclude(source, 'unreadable', list(files), records, kept=KEPT_OF_UNUSABLE)
    return Finding(
        'unreadable',
        True,
        f'{several(len(reasons), "file")} cannot be read; {first.name}: {why}',
        'The run would stop when it comes to such a file, perhaps after hours; OpenCV fills the '
        'rest of an image that is cut short with gray, without a word.',
        list(files),
        concerned,
        advice='Copy or download again what is broken. '
        + how_excluded(fix, 'broken files, with the image or label that belongs to each,')
        + ' Reasons: '
        + '; '.join(f'{path.name}: {text}' for path, text in list(reasons.items())[:5]),
        **fix,
    )


def _damaged(source: Source, records: Sequence[Record]) -> Finding | None:
    """Images that are decoded, but not as they were once."""
    found = [r for r in records if r.image and r.image.get('damage')]
    if not found:
        return None
    files = [p for r in found for p in (r.pair.image, r.pair.label) if p and p.exists()]
    fix = exclude(source, 'damaged_image', files, records)
    first = found[0]
    return Finding(
        'damaged_image',
        False,
        f'{several(len(found), "image")} {verb(len(found), "seems", "seem")} damaged inside; '
        f'{first.pair.image_file.name}: {first.image_facts["damage"]}',
        'The decoder goes on without a word that names the file: parts of such an image may be '
        'gray, of another color, or moved aside, and no longer fit the label.',
        files,
        found,
        advice='Look at them in the report (--report DIR); copy or download again what looks '
        'broken. ' + how_excluded(fix, 'such images, with their labels,'),
        **fix,
    )


def _other_size(source: Source, records: Sequence[Record]) -> Finding | None:
    found = [
        r for r in records if (both := sizes(r)) and both[0] != loaded(r) and not is_on_stored(r)
    ]
    if not found:
        return None
    label, image = found[0].label_facts['size'], loaded(found[0])
    same_shape = all(
        r.label_facts['size'][0] * loaded(r)[1] == r.label_facts['size'][1] * loaded(r)[0]
        for r in found
    )
    files = [p for r in found for p in (r.pair.label_file, r.pair.image_file)]
    fix = exclude(source, 'size_mismatch', files, records, kept=KEPT_OF_UNUSABLE)
    return Finding(
        'size_mismatch',
        True,
        f'{several(len(found), "label")} {verb(len(found), "has", "have")} another size than '
        f'{verb(len(found), "its image", "their images")}; '
        f'{found[0].pair.label_file.name} is {label[0]}x{label[1]}, its image is '
        f'{image[0]}x{image[1]} (width x height)',
        'Image and label are cut and turned together pixel by pixel; of another size they do '
        'not belong together, and the run would stop.',
        files,
        found,
        advice=(
            'The shapes agree: the label was made at another resolution; export it again at the '
            'size of the image (a label is never resized with smoothing). '
            if same_shape
            else 'The shapes differ too: look whether the label belongs to another image. '
        )
        + how_excluded(fix, 'images and labels of such pairs'),
        **fix,
    )


def _extra(source: Source) -> Finding | None:
    files: list[Path] = list(dict.fromkeys(p for s in source.splits for p in s.extra_labels))
    if not files:
        return None
    fix = exclude(source, 'extra_label', files)
    return Finding(
        'extra_label',
        False,
        f'{several(len(files), "label")} {verb(len(files), "belongs", "belong")} to no image',
        'Such a label is never read. Often its image is missing, or has another name.',
        files,
        advice='Put the images there. ' + how_excluded(fix, 'the labels'),
        **fix,
    )
