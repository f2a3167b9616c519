"""Findings about the numbers in labels: values that are no classes, and what they look like."""

import shlex
from collections.abc import Iterator

from openseg_plugin.data_checks.dataset_spec import Rules, Source
from openseg_plugin.data_checks.examine import Group, labels_of
from openseg_plugin.data_checks.finding import (
    Finding,
    class_arguments,
    conversion,
    list_value,
    remapping,
    several,
    split_settings,
    verb,
)
from openseg_plugin.data_checks.location_priors import lies_right
from openseg_plugin.data_checks.rules.off_by_one import (
    counts_from_one,
    is_one_too_high,
    one_too_high,
    void_shift,
)
from openseg_plugin.data_checks.rules.smoothed import is_soft, soft_mask
from openseg_plugin.datasets.classes import CITYSCAPES_TRAIN_IDS
from openseg_plugin.datasets.label_table import ranges

_STRAY = 0.1  # fraction of the pixels above which values are no accident
# What may be ignored without losing a class: a few pixels in every label that has the value.
_SPECKS = 16  # pixels per label
_KINDS = 8  # distinct values


def _number_of(rules: Rules) -> str:
    if not rules.classes:
        return 'an unknown number of classes'
    return several(len(rules.classes), 'class', 'classes')


def has_gaps(group: Group) -> bool:
    """Whether the values that occur are not 0, 1, 2, ..."""
    values = [v for v in group.values if v != group.rules.ignore_index]
    return bool(values) and values != list(range(len(values)))


def outside_classes(source: Source, group: Group) -> Finding:
    """Values that are no class and look like nothing that is known."""
    rules, outside = group.rules, sorted(group.outside)
    records = group.records_of(outside)
    shown = ', '.join(f'{v} ({several(group.outside[v].pixels, "pixel")})' for v in outside[:8])
    more = f' and {len(outside) - 8} more' if len(outside) > 8 else ''
    settings, commands, advice = _fix_outside(source, group)
    return Finding(
        'outside_classes',
        True,
        f'values outside the classes: {shown}{more} in {several(len(records), "label")}; '
        f'{_number_of(rules)}, '
        f'allowed are {ranges([v for v in range(256) if rules.train_value(v) >= 0])}',
        'Such a value is outside the network: a crash on the CPU, a "device-side assert" on a GPU, '
        'or a class that is silently left out.',
        labels_of(records),
        records,
        settings,
        commands,
        advice,
    )


def _fix_outside(source: Source, group: Group) -> tuple[list[str], list[str], str]:
    """Settings, commands and words for values outside the classes."""
    rules, outside = group.rules, sorted(group.outside)
    needed = max(outside) + 1 - int(rules.reduce_zero_label)
    everything = sum(value.pixels for value in group.values.values())
    fraction = sum(value.pixels for value in group.outside.values()) / everything
    if fraction > _STRAY:
        return (
            [],
            [],
            f'{100 * fraction:.0f} % of the pixels are too many to be stray: the labels hold the '
            'numbers of another list of classes, such as the raw ids of the release. Convert them '
            'with the converter of the dataset, or with "openseg convert-dataset masks '
            'SRC DST --remap RAW:CLASS ..." and one pair per class; if they are classes that you '
            f'want, name them in the dataset and raise num_classes to {needed}.',
        )
    if not _are_specks(group):
        return (
            [],
            [],
            'They are too many in a label to be noise, and may be a class: name it in the classes '
            f'and palette of the dataset and raise num_classes to {needed}. If they mean "no '
            'class", say so with metainfo.void_ids of our dataset classes, or convert the labels '
            'with --ignore.',
        )
    advice = (
        'This makes those pixels ignored. If they are classes that you want, name them in the '
        f'classes and palette of the dataset and raise num_classes to {needed}.'
    )
    if source.is_config and source.own_classes:
        void = list_value(sorted({*rules.void_ids, *outside}))
        return split_settings(source, 'metainfo.void_ids', void), [], advice
    commands, settings = remapping(source, rules, rules.table.tolist())
    return settings, commands, advice


def _are_specks(group: Group) -> bool:
    outside = group.outside.values()
    return len(outside) <= _KINDS and all(v.pixels <= _SPECKS * len(v.records) for v in outside)


def numbers_with_gaps(source: Source, group: Group) -> Finding:
    """Labels without a list of classes that are not numbered from 0 on."""
    values = [v for v in group.values if v != group.rules.ignore_index]
    pairs = [f'{v}:{k}' for k, v in enumerate(values)]
    commands, settings = conversion(source, '--remap', *pairs)
    return Finding(
        'gaps',
        False,
        f'the labels hold {ranges(values)}, and nobody says which classes these are',
        f'Classes are numbered 0, 1, 2, ... without gaps; trained as they are, the network would '
        f'need {values[-1] + 1} outputs, and {values[-1] + 1 - len(values)} would never be used.',
        settings=settings,
        commands=commands,
        advice='Give the classes with --classes or --num-classes to have them checked. The command '
        'numbers the values that occur from 0 on; add --classes NAME ... in that order.',
    )


_LAST_CITYSCAPES_ID = 33
_KEPT = 0.6  # fraction of the pixels that raw ids turn into classes; Cityscapes: about 0.9


def value_findings(source: Source, group: Group) -> Iterator[Finding]:
    """The likeliest explanation of values outside the classes, and of a misused zero."""
    values = set(group.values)
    outside = set(group.outside)
    if not values:
        return
    if max(values) > 255 or min(values) < 0:
        yield _too_large(group)
    elif is_soft(group):
        yield soft_mask(source, group)
    elif _is_binary(group):
        yield _binary(source, group)
    elif counts_from_one(group):
        yield void_shift(source, group)
    elif outside and _raw_ids(group.rules, values):
        yield _raw(source, group)
    elif outside and is_one_too_high(group):
        yield one_too_high(source, group)
    elif outside:
        yield outside_classes(source, group)
    elif not group.rules.classes and has_gaps(group):
        yield numbers_with_gaps(source, group)
    is_plain = len(group.rules.classes) in values and 0 not in values  # 255 is all that is ignored
    if group.rules.reduce_zero_label and 255 in values and not (is_plain or _is_binary(group)):
        yield _reduced_twice(source, group)


def _is_binary(group: Group) -> bool:
    """0 and 255 are all there is, so every pixel is background or ignored."""
    values = set(group.values)
    return 255 in values and values <= {0, 255} and group.rules.train_value(255) in (255, -1)


def _binary(source: Source, group: Group) -> Finding:
    classes = group.rules.classes
    names = classes if len(classes) == 2 else ('background', 'foreground')
    commands, settings = conversion(source, '--kind', 'binary', *class_arguments(names))
    records, number = group.records_of([255]), len(group.records)
    other = (
        ''
        if len(classes) in (0, 2)
        else (
            f" The config's dataset has {several(len(classes), 'class', 'classes')}, such masks "
            "have two: use type='openseg_plugin.CustomDataset' with metainfo=dict(classes="
            "('background', 'foreground')), and num_classes=2."
        )
    )
    return Finding(
        'mask_0_255',
        True,
        f'0/255 masks: {several(number, "label")} {verb(number, "holds", "hold")} only the values '
        '0 and 255',
        '255 means "ignore": every pixel of your object would be left out of the loss, and the '
        'network would learn that everything is background.',
        labels_of(records),
        records,
        settings,
        commands,
        'The object must be 1 in the labels; the command writes such labels into a new folder.'
        + other
        + _reversed(group),
    )


def _reversed(group: Group) -> str:
    """A word of doubt where 255 lies around 0: such labels may have been reduced."""
    seen = [
        r.label_facts['places']
        for r in group.records
        if {'0', '255'} <= set(r.label_facts['places'])
    ]
    around = sum(places['255'][1] > places['0'][1] for places in seen)
    if 2 * around <= len(seen):
        return ''
    return (
        f' But in {around} of {several(len(seen), "label")} 255 takes most of the border, as a '
        'background does: if 0 is the object, the labels were reduced (0 became 255, 1 became 0); '
        'then give the command --remap 255:0 0:1 in place of --kind binary.'
    )


def _raw_ids(rules: Rules, values: set[int]) -> tuple[int, ...]:
    """The owner's ids of the classes, if the labels seem to hold those."""
    ids = rules.label_ids or (CITYSCAPES_TRAIN_IDS if len(rules.classes) == 19 else ())
    last = max(_LAST_CITYSCAPES_ID, *ids) if ids else -1
    fits = bool(ids) and all(v <= last or v == 255 for v in values)
    return ids if fits and len(values & set(ids)) > len(values & set(range(7))) / 2 else ()


def _raw(source: Source, group: Group) -> Finding:
    ids = _raw_ids(group.rules, set(group.values))
    records = group.records_of(group.outside)
    pairs = [f'{raw}:{k}' for k, raw in enumerate(ids)]
    commands, settings = conversion(
        source, '--remap', *pairs, *class_arguments(group.rules.classes)
    )
    total = sum(value.pixels for value in group.values.values())
    kept = sum(value.pixels for raw, value in group.values.items() if raw in ids)
    if kept < _KEPT * total:  # another list of ids
        return outside_classes(source, group)
    if source.release:
        words = ['openseg', 'convert-dataset', source.release, f'{source.root}']
        commands = [shlex.join([*words, f'{source.root}-fixed'])]
    return Finding(
        'raw_ids',
        True,
        f'raw ids where train ids are expected: {several(len(records), "label")} '
        f'{verb(len(records), "holds", "hold")} '
        f'{ranges(sorted(group.outside))}, the classes are 0..{len(group.rules.classes) - 1}',
        'The labels still have the numbers of the release (Cityscapes: road = 7), so most pixels '
        'would be the wrong class and the large ids no class at all.',
        labels_of(records),
        records,
        settings,
        commands,
        'The command writes labels with train ids into a new folder; ids without a class become '
        '255 (ignored).',
    )


def _reduced_twice(source: Source, group: Group) -> Finding:
    number = len(group.rules.classes)
    others = set(range(1, number)) & set(group.values)
    # The last class is rare in some datasets: its absence tells where the others are seen.
    is_reduced = bool(number) and number not in group.values and 0 in group.values
    is_reduced &= 2 * len(others) >= number - 1 and not lies_right(group.rules, group.records)
    records = group.records_of([255])
    settings = split_settings(source, 'reduce_zero_label', False) if is_reduced else []
    if is_reduced and not source.is_config and group.rules.classes:
        advice = 'Check, and train, without reduce_zero_label: leave out --reduce-zero-label.'
    elif is_reduced:
        advice = ''
    else:
        advice = 'Nothing to do if both 0 and 255 mean "no class".'
    return Finding(
        'reduce_zero_label_255',
        is_reduced,
        f'reduce_zero_label is on, but {several(len(records), "label")} '
        f'{verb(len(records), "uses", "use")} 255 for "ignored"'
        + (f' and none has the value {number}' if is_reduced else ''),
        'With reduce_zero_label the value 0 is ignored and k becomes k - 1. '
        + (
            'These labels have been reduced already: their class 0 would be lost and all others '
            'trained under the name of their neighbor.'
            if is_reduced
            else f'The value {number} occurs, so that is right; 255 stays ignored beside 0.'
            if number in group.values
            else '255 stays ignored beside 0. But if the labels were reduced once already, their '
            'class 0 would be lost and the others trained under the name of their neighbor.'
        ),
        labels_of(records),
        records,
        settings,
        [],
        advice,
    )


def _too_large(group: Group) -> Finding:
    values = [v for v in group.values if not 0 <= v <= 255]
    records = group.records_of(values)
    return Finding(
        'values_above_255',
        True,
        f'values up to {max(group.values)} in {several(len(records), "label")}: '
        'no class maps, but instance maps',
        'A label has one byte per pixel, with the number of its class; instance ids (class x 1000 '
        '+ number) or 16-bit maps cannot be trained on.',
        labels_of(records),
        records,
        advice='Use the files with class ids of the same release (Cityscapes: *_labelIds.png, not '
        '*_instanceIds.png), or divide by 1000 where the ids are class x 1000 + number.',
    )
