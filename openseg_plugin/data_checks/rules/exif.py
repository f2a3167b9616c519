"""Findings about images that carry a camera's mark (EXIF orientation) to be turned."""

from collections.abc import Sequence

from openseg_plugin.data_checks.dataset_spec import Source
from openseg_plugin.data_checks.examine import Record
from openseg_plugin.data_checks.finding import Finding
from openseg_plugin.data_checks.plural import several, verb

# EXIF orientations that exchange width and height
_LYING = (5, 6, 7, 8)


def sizes(record: Record) -> tuple[list, list] | None:
    """Sizes of label and of image as stored; None where one is not known."""
    if not record.image or not record.label:
        return None
    if 'size' not in record.image or 'size' not in record.label:
        return None
    return record.label['size'], record.image['size']


def _upright(record: Record) -> list:
    size = record.image['size']
    return size[::-1] if record.image['turn'] in _LYING else size


def loaded(record: Record) -> list:
    """Size of the image as the loader of the split gives it."""
    if record.split.size is not None:
        return list(record.split.size)
    return _upright(record) if record.split.turns_images else record.image['size']


def is_on_stored(record: Record) -> bool:
    """The label fits the image only where the EXIF orientation is not applied."""
    both = sizes(record)
    return (
        both is not None
        and record.split.size is None
        and record.image['turn'] in _LYING
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
        [r.pair.image for r in found],
        found,
        [f'{key}.color_type=color_ignore_orientation' for key in all_keys],
        [] if source.is_config or others else [_check_stored(source)],
        advice,
    )


def _check_stored(source: Source) -> str:
    return f'{source.command} --as-stored'


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
    doubtful = [r for r in found if r.image['turn'] not in _LYING or len(set(_upright(r))) == 1]
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
        [r.pair.image for r in found],
        found,
        advice='Look at the overlays in the report. To be safe, save such images upright once '
        'and without the mark, before labels are drawn.',
    )
