"""Findings about labels whose only forbidden value is the one after the last class."""

from openseg_plugin.data_checks.dataset_spec import Rules, Source
from openseg_plugin.data_checks.finding import Finding, list_value, remapping, split_settings
from openseg_plugin.data_checks.fixes import moved_up_fix
from openseg_plugin.data_checks.location_priors import lies_right
from openseg_plugin.data_checks.plural import several, verb
from openseg_plugin.data_checks.rules.outside_values import labels_of
from openseg_plugin.data_checks.statistics import Group
from openseg_plugin.datasets.label_table import ranges


def _first_beyond(rules: Rules) -> int:
    """The raw value after that of the last class."""
    return len(rules.classes) + int(rules.reduce_zero_label)


def is_one_too_high(group: Group) -> bool:
    """The only forbidden value is the first one; where 0 is ignored anyway, it never occurs."""
    rules = group.rules
    is_free = not (rules.reduce_zero_label and 0 in group.values)
    return set(group.outside) == {_first_beyond(rules)} and not rules.label_map and is_free


def one_too_high(source: Source, group: Group) -> Finding:
    """What the forbidden value says: the labels count from one, or it means "no class"."""
    if lies_right(group.rules, group.records):
        return _void_value(source, group)
    return _off_by_one(source, group)


def _off_by_one(source: Source, group: Group) -> Finding:
    rules, number = group.rules, len(group.rules.classes)
    records = group.records_of(group.outside)
    has = verb(len(records), 'has', 'have')
    title = (
        f'off by one: the labels hold {ranges(list(group.values))}, allowed are '
        f'{ranges([v for v in range(256) if rules.train_value(v) >= 0])}; '
        f'{several(len(records), "label")} {has} the value {_first_beyond(rules)}'
    )
    settings, commands, how = moved_up_fix(
        source, rules, group.values, [s for s in source.splits if s.rules == rules]
    )
    if 0 in group.values:  # it would be ignored, and may be a class
        settings, commands, how = [], [], ''
    advice = (
        f'The labels count from one: their first class has a number one too high. {how}'
        if 0 not in group.values
        else 'If 0 means "no class" in these labels, read them with reduce_zero_label=True. '
        f'If 0 is a class of its own (background), the dataset has {number + 1} classes: name '
        'that one in classes and '
        f'palette and set num_classes={number + 1} instead. If {number} means "no class" (void), '
        f'set metainfo.void_ids=[{number}] for our classes instead.'
    )
    return Finding(
        'off_by_one',
        True,
        title,
        'Every class would be trained under the name of its neighbour, and the last one is outside '
        'the network (a crash on the CPU, a "device-side assert" on a GPU).',
        labels_of(records),
        records,
        settings,
        commands,
        advice,
    )


def _void_value(source: Source, group: Group) -> Finding:
    rules, value = group.rules, _first_beyond(group.rules)
    records = group.records_of([value])
    if source.is_config and source.own_classes:
        void = list_value(sorted({*rules.void_ids, value}))
        settings, commands = split_settings(source, 'metainfo.void_ids', void), []
    else:
        commands, settings = remapping(source, rules, rules.table.tolist())
    return Finding(
        'void_value',
        True,
        f'the value {value} is no class: {several(len(records), "label")} '
        f'{verb(len(records), "has", "have")} it beside the classes 0..{value - 1}; it seems to '
        'mean "no class" (void)',
        'Classes such as sky, road or background lie where they belong, so the labels do not count '
        'from one; but the value itself is outside the network: a crash on the CPU, a "device-side '
        'assert" on a GPU.',
        labels_of(records),
        records,
        settings,
        commands,
        'This makes those pixels ignored. If they are a class that you want, name it in classes '
        f'and palette and set num_classes={value + 1}.',
    )
