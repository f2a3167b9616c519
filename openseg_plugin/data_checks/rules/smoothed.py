"""Findings about numbers that smoothing has mixed: soft masks, JPEG labels, resized labels."""

from collections.abc import Iterator, Sequence

from openseg_plugin.data_checks.dataset_spec import Source
from openseg_plugin.data_checks.examine import Group, Record
from openseg_plugin.data_checks.file_facts import ROWS
from openseg_plugin.data_checks.finding import Finding, class_arguments, conversion, several, verb

# In correct labels at most 0.06 of the changes in a row go on the same way at the next pixel
# (CamVid and drawn scenes, at a third of their size or more); linear resizing gives 0.15 to 0.57.
_MIXED = 0.12
_TURNING = 1.5  # times as many go on as turn back; of noise, half as many
_FEW, _SOME = 3, 0.05  # labels, and fraction of them
_CHANGES = 40  # changes in the rows looked at, below which a fraction says nothing
_DENSE = 0.5  # changes per pixel
_NEAR = 48  # gray levels from 0 and 255 that are still black and white
_CLUSTERED = 0.9  # fraction of the pixels of soft masks in the two clusters
_KINDS = 8  # distinct values from which a mask is soft


def is_soft(group: Group) -> bool:
    """Values cluster near 0 and 255 with others between: a mask with smooth edges."""
    values = group.values
    if len(values) < _KINDS or len(group.rules.classes) > 2 or max(values) < 256 - _NEAR:
        return False
    total = sum(v.pixels for v in values.values())
    low = sum(v.pixels for raw, v in values.items() if raw < _NEAR)
    high = sum(v.pixels for raw, v in values.items() if raw >= 256 - _NEAR)
    return min(low, high) > 0 and low + high >= _CLUSTERED * total


def soft_mask(source: Source, group: Group) -> Finding:
    """Gray levels between black and white; every pixel is nearer to one of them."""
    between = [raw for raw in group.values if 0 < raw < 255]
    records = group.records_of(between)
    is_jpeg = any(r.label_facts.get('format') == 'JPEG' for r in records)
    names = group.rules.classes if len(group.rules.classes) == 2 else ('background', 'foreground')
    commands, settings = conversion(
        source, '--kind', 'binary', '--threshold', '128', *class_arguments(names)
    )
    return Finding(
        'soft_mask',
        True,
        f'soft masks: {several(len(records), "label")} {verb(len(records), "has", "have")} '
        f'{several(len(between), "gray level")} between 0 and 255'
        + (', saved as JPEG' if is_jpeg else ''),
        'Gray levels are no class numbers: the object (near 255) would be ignored or outside the '
        'network, and its smooth edge would be other classes.',
        [r.pair.label_file for r in records],
        records,
        settings,
        commands,
        'Values from 128 on are the object, the others the background'
        + ('; the command writes such labels into a new folder.' if commands else ': convert them.')
        + ' Do not ignore the values between 0 and 255: that deletes the object.',
    )


def mixed(records: Sequence[Record]) -> list[Record]:
    """Labels whose numbers are mixed at the edges, where they are too many for an accident."""
    found = [r for r in records if _is_mixed(r)]
    if any(r.label_facts.get('format') == 'JPEG' for r in found):
        return found
    return found if len(found) >= max(_FEW, _SOME * len(records)) else []


def _is_mixed(record: Record) -> bool:
    if record.label_facts.get('format') == 'JPEG':  # its rings turn back as often as they go on
        return any(record.split.rules.train_value(int(v)) < 0 for v in record.label_facts['counts'])
    going_on, turning, changes = record.label_facts.get('steps') or (0, 0, 0)
    width, height = record.label_facts['size']
    is_sparse = changes <= _DENSE * width * min(height, ROWS)  # a ramp changes everywhere
    is_smooth = going_on >= _MIXED * changes and going_on >= _TURNING * turning  # noise turns
    return (
        changes >= _CHANGES and len(record.label_facts['counts']) >= 3 and is_smooth and is_sparse
    )


def mixed_findings(source: Source, records: Sequence[Record]) -> Iterator[Finding]:
    """Labels that were saved as JPEG, or resized with smoothing."""
    del source
    jpeg = [r for r in records if r.label_facts.get('format') == 'JPEG']
    others = [r for r in records if r.label_facts.get('format') != 'JPEG']
    if jpeg:
        yield Finding(
            'jpeg_labels',
            True,
            f'labels saved as JPEG: {several(len(jpeg), "label")} '
            f'{verb(len(jpeg), "holds", "hold")} numbers that JPEG has changed',
            'JPEG changes numbers by a few: classes turn into their neighbors in the list, and '
            'values appear that are no class.',
            [r.pair.label_file for r in jpeg],
            jpeg,
            advice='Export the labels again as PNG. What the numbers were cannot be told any '
            'more; ignoring or renumbering the values that are too many would lose classes.',
        )
    if others:
        worst = max(others, key=lambda r: r.label_facts['steps'][0] / r.label_facts['steps'][2])
        fraction = worst.label_facts['steps'][0] / worst.label_facts['steps'][2]
        yield Finding(
            'interpolated_numbers',
            True,
            f'class numbers mixed at edges: {several(len(others), "label")} '
            f'{verb(len(others), "was", "were")} resized or turned with smoothing; in '
            f'{worst.pair.label_file.name} {100 * fraction:.0f} % of the steps from one class to '
            'another go through numbers between them (correct labels: below 6 %)',
            'Between class 2 and class 8 smoothing writes 5, another class: every object would be '
            'learned with a rim of wrong classes.',
            [r.pair.label_file for r in others],
            others,
            advice='Resize the original labels again by nearest neighbor (cv2.INTER_NEAREST, '
            'Image.NEAREST). What the numbers were cannot be told any more; ignoring the values '
            'that are too many would leave the other mixed ones.',
        )
