"""Findings about values outside the classes that are none of the well-known mistakes."""

from collections.abc import Sequence
from pathlib import Path

from openseg_plugin.data_checks.dataset_spec import Rules, Source
from openseg_plugin.data_checks.examine import Group, Record
from openseg_plugin.data_checks.finding import (
    Finding,
    conversion,
    list_value,
    remapping,
    several,
    split_settings,
)
from openseg_plugin.datasets.label_table import ranges

_STRAY = 0.1  # fraction of the pixels above which values are no accident
# What may be ignored without losing a class: a few pixels in every label that has the value.
_SPECKS = 16  # pixels per label
_KINDS = 8  # distinct values


def labels_of(records: Sequence[Record]) -> list[Path]:
    """Label files of some pairs."""
    return [record.pair.label for record in records]


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
    share = sum(value.pixels for value in group.outside.values()) / everything
    if share > _STRAY:
        return (
            [],
            [],
            f'{100 * share:.0f} % of the pixels are too many to be stray: the labels hold the '
            'numbers of another list of classes, such as the raw ids of the release. Convert them '
            'with the converter of the dataset, or with "python tools/convert_dataset.py masks '
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
