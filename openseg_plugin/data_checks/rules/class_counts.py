"""Findings about class counts: in the config, its heads and palette, and in the pixels."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

from openseg_plugin.converters.datasets.core.pairs import class_palette
from openseg_plugin.data_checks.dataset_spec import Rules, Source
from openseg_plugin.data_checks.examine import ClassCount, Record, count_classes
from openseg_plugin.data_checks.finding import (
    Finding,
    colors_value,
    list_value,
    remapping,
    several,
    split_settings,
    verb,
)

_USUAL = 4  # classes in the median label, for a label of one class to be odd


def class_findings(source: Source, records: Sequence[Record]) -> Iterator[Finding]:
    """Numbers of classes that contradict each other; classes that never occur."""
    rules = next((s.rules for s in source.splits if s.rules.classes), None)
    if rules is None:
        return
    yield from _splits_differ(source)
    yield from _heads_differ(source, rules)
    yield from _palette_differs(source, rules)
    yield from _absent(source, rules, records)
    yield from _empty(source, records)


def _splits_differ(source: Source) -> Iterator[Finding]:
    labelled = [s for s in source.splits if s.rules.classes]
    first = labelled[0]
    others = [s for s in labelled if s.rules.classes != first.rules.classes]
    if not others:
        return
    settings = []
    for split in (s for s in others if s.key):
        settings.append(f'{split.key}.metainfo.classes={list_value(first.rules.classes)}')
        if first.rules.palette:
            colors = colors_value(first.rules.palette)
            settings.append(f'{split.key}.metainfo.palette={colors}')
    numbers = len(first.rules.classes), len(others[0].rules.classes)
    how = 'in another order or of other names'
    if numbers[0] != numbers[1]:
        how = f'{numbers[0]} there and {numbers[1]} here'
    yield Finding(
        'splits_differ',
        True,
        f'the classes of {first.name} and of {others[0].name} differ: {how}',
        'What is learned as class k would be scored as another class.',
        settings=settings,
        advice=f'Both need the same classes in the same order. The settings take those of '
        f'{first.name}.',
    )


def _heads_differ(source: Source, rules: Rules) -> Iterator[Finding]:
    number = len(rules.classes)
    wrong = [head for head in source.heads if head.num_classes != number]
    if wrong:
        found = ', '.join(f'{head.key}.num_classes={head.num_classes}' for head in wrong)
        yield Finding(
            'num_classes',
            True,
            f'num_classes of the config does not match: the dataset has '
            f'{several(number, "class", "classes")}, {found}',
            'Too few: labels outside the network, a crash or "device-side assert". Too many: '
            'outputs that nothing teaches, and a wrong table of scores.',
            settings=[f'{head.key}.num_classes={number}' for head in wrong],
            advice=f'If {wrong[0].num_classes} is right, name that many classes in metainfo of '
            'the dataset instead.',
        )
    weights = [(k, n) for head in source.heads for k, n in head.class_weights if n != number]
    if weights:
        yield Finding(
            'class_weight',
            True,
            f'class_weight has {several(weights[0][1], "number")} for '
            f'{several(number, "class", "classes")} ({weights[0][0]})',
            'The loss stops with an error about sizes in the first iteration.',
            settings=[f'{key}=None' for key, _ in weights],
            advice='None weighs all classes alike; the table has weights to paste.',
        )


def _palette_differs(source: Source, rules: Rules) -> Iterator[Finding]:
    number = len(rules.classes)
    if not rules.palette or len(rules.palette) == number:
        return
    colors = list(rules.palette[:number])
    spare = (c for c in class_palette(2 * number + 1) if c not in colors)
    colors += islice(spare, number - len(colors))
    text = colors_value(colors)
    yield Finding(
        'palette_length',
        True,
        f'the palette has {several(len(rules.palette), "color")} for '
        f'{several(number, "class", "classes")}',
        'Images of predictions cannot be drawn; some tools stop there.',
        settings=split_settings(source, 'metainfo.palette', text),
        advice='One color per class is needed, in the order of the classes; the settings leave '
        'out what is too much and add colors where some are missing.',
    )


def _absent(source: Source, rules: Rules, records: Sequence[Record]) -> Iterator[Finding]:
    labelled = [s for s in source.splits if any(pair.label for pair in s.pairs)]
    counts = {
        s.name: count_classes([r for r in records if r.split is s])
        for s in labelled
        if len(s.rules.classes) == len(rules.classes)
    }
    if not any(any(k >= 0 and k != rules.ignore_index for k in c) for c in counts.values()):
        return  # nothing could be counted: other findings say why
    names = dict(enumerate(rules.classes))
    nowhere = [k for k in names if not any(k in found for found in counts.values())]
    if nowhere:
        yield _never(source, rules, nowhere, counts)
    train = next((counts[name] for name in counts if name.startswith('train')), None)
    if train is None:
        return
    unseen = [k for k in names if k not in train and k not in nowhere]
    if unseen:
        found = {id(r): r for c in counts.values() for k in unseen if k in c for r in c[k].records}
        shown = list(found.values())
        yield Finding(
            'class_not_in_train',
            False,
            f'{several(len(unseen), "class", "classes")} {verb(len(unseen), "occurs", "occur")}, '
            f'but not in the split that is trained on: {_some(unseen, names)}',
            f'{verb(len(unseen), "It", "They")} will be scored with 0.',
            [r.pair.label_file for r in shown],
            shown,
            advice='Divide the images anew so that every class is in train.',
        )


def _empty(source: Source, records: Sequence[Record]) -> Iterator[Finding]:
    """Labels of one value alone, in splits whose labels show many classes."""
    found: list[tuple[Record, int]] = []
    for split in source.splits:
        own = [r for r in records if r.split is split and r.label and r.label.get('counts')]
        shown = [{split.rules.train_value(int(v)) for v in r.label_facts['counts']} for r in own]
        ignore = split.rules.ignore_index
        numbers = sorted(len(values - {ignore}) for values in shown)
        many = numbers[len(numbers) // 2] if numbers else 0
        for record, values in zip(own, shown):
            is_void = values == {ignore} and many >= 1
            if is_void or (len(values - {ignore}) == 1 and many >= _USUAL):
                found.append((record, next(iter(values - {ignore}), ignore)))
    if not found:
        return
    void = [r for r, value in found if value == r.split.rules.ignore_index]
    first, value = found[0]
    what = 'no class at all' if first in void else f'{_class_name(first, value)} alone'
    yield Finding(
        'empty_labels',
        False,
        f'{several(len(found), "label")} {verb(len(found), "shows", "show")} one class or none '
        f'where others show many ({len(void)} of them nothing but ignored pixels); '
        f'{first.pair.label_file.name} holds {what}',
        'Nothing is learned from an image that is wholly ignored (some losses become nan there); '
        'a label of one class is often an export that failed.',
        [r.pair.label_file for r, _ in found],
        [r for r, _ in found],
        advice='Look at them in the report (--report DIR); nothing to do where the image shows '
        'nothing else.',
    )


def _class_name(record: Record, value: int) -> str:
    classes = record.split.rules.classes
    return classes[value] if 0 <= value < len(classes) else f'the value {value}'


def _never(
    source: Source,
    rules: Rules,
    nowhere: Sequence[int],
    counts: dict[str, dict[int, ClassCount]],
) -> Finding:
    number, names = len(rules.classes), dict(enumerate(rules.classes))
    kept = [k for k in range(number) if k not in nowhere]
    settings, commands = _without_classes(source, rules, kept)
    advice = 'Right if this is a part of the dataset. Otherwise the labels have other numbers '
    advice += 'than the classes, or the class list is longer than the dataset. '
    ignored = sum(c[rules.ignore_index].pixels for c in counts.values() if rules.ignore_index in c)
    if nowhere == [0] and number > 2:
        advice += 'All classes but the first one occur: do the labels count from one? '
    elif nowhere == [number - 1] and number > 2 and ignored:
        advice += (
            'All classes but the last one occur, and pixels are ignored: were the labels reduced '
            f'(k became k - 1), so that {rules.classes[0]} is ignored? '
        )
    if settings or commands:
        advice += 'This leaves such classes out of the training.'
    return Finding(
        'class_never_occurs',
        False,
        f'{len(nowhere)} of {several(number, "class", "classes")} never '
        f'{verb(len(nowhere), "occurs", "occur")}: {_some(nowhere, names)}',
        'Nothing can be learned about a class without pixels; its IoU is 0 or nan, and a mean over '
        'classes counts it or not, as the metric likes.',
        settings=settings,
        commands=commands,
        advice=advice.strip(),
    )


def _without_classes(
    source: Source, rules: Rules, kept: Sequence[int]
) -> tuple[list[str], list[str]]:
    """Settings and commands that train on some of the classes."""
    names = tuple(rules.classes[k] for k in kept)
    if not source.is_config or not names:
        return [], []
    colors = tuple(rules.palette[k] for k in kept if k < len(rules.palette))
    commands: list[str] = []
    settings: list[str] = []
    labelled = [s for s in source.splits if any(pair.label for pair in s.pairs)]
    are_last = list(kept) == list(range(len(kept)))
    if not are_last and not all(split.renumbers for split in labelled):
        # other names alone would not change what the label values mean
        meaning = [kept.index(k) if k in kept else -1 for k in rules.table.tolist()]
        new = replace(rules, classes=names, palette=colors)
        commands, settings = remapping(source, new, meaning)
        if not commands:
            return [], []
    settings += split_settings(source, 'metainfo.classes', list_value(names))
    if len(colors) == len(names):
        settings += split_settings(source, 'metainfo.palette', colors_value(colors))
    settings += [f'{head.key}.num_classes={len(names)}' for head in source.heads]
    settings += [f'{key}=None' for head in source.heads for key, _ in head.class_weights]
    return settings, commands


def _some(ids: Sequence[int], names: dict[int, str]) -> str:
    shown = ', '.join(f'{k} ({names[k]})' for k in ids[:8])
    return shown + (f' and {len(ids) - 8} more' if len(ids) > 8 else '')
