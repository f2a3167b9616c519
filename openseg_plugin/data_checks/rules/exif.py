"""Findings about pictures that carry a camera's mark (EXIF orientation) to be turned."""

from collections.abc import Sequence

from openseg_plugin.data_checks.dataset_spec import Source
from openseg_plugin.data_checks.examine import Record
from openseg_plugin.data_checks.finding import Finding
from openseg_plugin.data_checks.plural import several, verb

# EXIF orientations that exchange width and height
_LYING = (5, 6, 7, 8)


def sizes(record: Record) -> tuple[list, list] | None:
    """Sizes of label and of picture as stored; None where one is not known."""
    if not record.picture or not record.label:
        return None
    if 'size' not in record.picture or 'size' not in record.label:
        return None
    return record.label['size'], record.picture['size']


def _upright(record: Record) -> list:
    size = record.picture['size']
    return size[::-1] if record.picture['turn'] in _LYING else size


def loaded(record: Record) -> list:
    """Size of the picture as the loader of the split gives it."""
    if record.split.size is not None:
        return list(record.split.size)
    return _upright(record) if record.split.turns_pictures else record.picture['size']


def is_on_stored(record: Record) -> bool:
    """The label fits the picture only where the EXIF orientation is not applied."""
    both = sizes(record)
    return (
        both is not None
        and record.split.size is None
        and record.picture['turn'] in _LYING
        and both[0] == both[1] != _upright(record)
    )


def drawn_on_stored(source: Source, records: Sequence[Record]) -> Finding | None:
    """Pictures that are turned when loaded, with labels that were drawn before."""
    found = [r for r in records if is_on_stored(r) and r.split.turns_pictures]
    if not found:
        return None
    keys = dict.fromkeys(r.split.pipeline_key for r in found if r.split.pipeline_key)
    all_keys = dict.fromkeys(s.pipeline_key for s in source.splits if s.pipeline_key and keys)
    return Finding(
        'exif_label_not_turned',
        True,
        f'EXIF: {several(len(found), "picture")} {verb(len(found), "is", "are")} turned by the '
        f"camera's mark when loaded, but {verb(len(found), 'its label was', 'their labels were')} "
        'drawn on the picture as stored',
        'The loader turns the picture and not the label, so the sizes differ and the run stops.',
        [r.pair.picture for r in found],
        found,
        [f'{key}.color_type=color_ignore_orientation' for key in all_keys],
        [] if source.is_config else [_check_stored(source)],
        'With color_type=color_ignore_orientation in LoadImageFromFile pictures are loaded as '
        'stored, as the labels are'
        + ('.' if source.is_config else '; the command checks the folder the same way.'),
    )


def _check_stored(source: Source) -> str:
    return f'{source.command} --as-stored'


def turned(records: Sequence[Record]) -> Finding | None:
    """Pictures that are turned when loaded, with labels that may be right."""
    found = [
        r
        for r in records
        if r.picture
        and r.picture.get('turn', 1) not in (0, 1)
        and r.split.turns_pictures
        and not is_on_stored(r)
    ]
    if not found:
        return None
    doubtful = [r for r in found if r.picture['turn'] not in _LYING or len(set(_upright(r))) == 1]
    return Finding(
        'exif_rotated',
        False,
        f"EXIF: {several(len(found), 'picture')} {verb(len(found), 'carries', 'carry')} a camera's "
        f'mark to turn or mirror {verb(len(found), "it", "them")}',
        'The loader applies the mark to the picture; labels have no such mark. '
        + (
            f'For {len(doubtful)} of {len(found)} the size does not tell whether the label was '
            'drawn on the turned picture.'
            if doubtful
            else 'Labels and turned pictures have one size, so this is right here; programs that '
            'ignore the mark will show the pictures turned.'
        ),
        [r.pair.picture for r in found],
        found,
        advice='Look at the overlays in the report. To be safe, save such pictures upright once '
        'and without the mark, before labels are drawn.',
    )
