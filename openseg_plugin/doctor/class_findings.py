"""Findings about class counts: in the config, its heads and palette, and in the pixels."""

from collections.abc import Iterator, Sequence

from openseg_plugin.doctor.examine import Record
from openseg_plugin.doctor.finding import Finding, list_value, split_settings
from openseg_plugin.doctor.source import Rules, Source
from openseg_plugin.doctor.survey import count_classes


def class_findings(source: Source, records: Sequence[Record]) -> Iterator[Finding]:
    """Numbers of classes that contradict each other; classes that never occur."""
    rules = next((s.rules for s in source.splits if s.rules.classes), None)
    if rules is None:
        return
    yield from _splits_differ(source)
    yield from _heads_differ(source, rules)
    yield from _palette_differs(source, rules)
    yield from _absent(source, rules, records)


def _splits_differ(source: Source) -> Iterator[Finding]:
    labelled = [s for s in source.splits if s.rules.classes]
    first = labelled[0]
    for split in labelled[1:]:
        if split.rules.classes != first.rules.classes:
            yield Finding(
                'splits_differ',
                True,
                f'{first.name} has {len(first.rules.classes)} classes and {split.name} '
                f'{len(split.rules.classes)}, or in another order',
                'What is learned as class k would be scored as another class.',
                settings=[f'{split.key}.metainfo.classes={list_value(first.rules.classes)}']
                if split.key
                else [],
                advice='Both need the same classes in the same order.',
            )
            return


def _heads_differ(source: Source, rules: Rules) -> Iterator[Finding]:
    number = len(rules.classes)
    wrong = [head for head in source.heads if head.num_classes != number]
    if wrong:
        found = ', '.join(f'{head.key}.num_classes={head.num_classes}' for head in wrong)
        yield Finding(
            'num_classes',
            True,
            f'num_classes of the config does not match: the data set has {number} classes, {found}',
            'Too few: labels outside the network, a crash or "device-side assert". Too many: '
            'outputs that nothing teaches, and a wrong table of scores.',
            settings=[f'{head.key}.num_classes={number}' for head in wrong],
            advice=f'If {wrong[0].num_classes} is right, name that many classes in metainfo of '
            'the data set instead.',
        )
    weights = [(k, n) for head in source.heads for k, n in head.class_weights if n != number]
    if weights:
        yield Finding(
            'class_weight',
            True,
            f'class_weight has {weights[0][1]} numbers for {number} classes ({weights[0][0]})',
            'The loss stops with an error about sizes at the first step.',
            settings=[f'{key}=None' for key, _ in weights],
            advice='None weighs all classes alike; the table above has weights to paste.',
        )


def _palette_differs(source: Source, rules: Rules) -> Iterator[Finding]:
    number = len(rules.classes)
    if not rules.palette or len(rules.palette) == number:
        return
    colours = [*rules.palette[:number], *((0, 0, 0),) * (number - len(rules.palette))]
    text = '[' + ','.join(f'[{r},{g},{b}]' for r, g, b in colours) + ']'
    yield Finding(
        'palette_length',
        True,
        f'the palette has {len(rules.palette)} colours for {number} classes',
        'Pictures of predictions cannot be drawn; some tools stop there.',
        settings=split_settings(source, 'metainfo.palette', text),
        advice='One colour per class, in the order of the classes.',
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
        kept = [name for k, name in names.items() if k not in nowhere]
        settings = []
        if source.is_config and kept:
            settings = split_settings(source, 'metainfo.classes', list_value(kept))
            if rules.palette and len(rules.palette) == len(names):
                colours = [rules.palette[k] for k in names if k not in nowhere]
                text = '[' + ','.join(f'[{r},{g},{b}]' for r, g, b in colours) + ']'
                settings += split_settings(source, 'metainfo.palette', text)
            settings += [f'{head.key}.num_classes={len(kept)}' for head in source.heads]
            settings += [f'{k}=None' for head in source.heads for k, _ in head.class_weights]
        yield Finding(
            'class_never_occurs',
            False,
            f'{len(nowhere)} of {len(names)} classes never occur: {_some(nowhere, names)}',
            'Nothing can be learned about them; their IoU is 0 or nan, and a mean over classes '
            'counts them or not, as the metric likes.',
            settings=settings,
            advice='Right if this is a part of the data set. Otherwise the labels have other '
            'numbers than the classes, or the class list is longer than the data set. The '
            'settings leave the classes out of the training.'
            if settings
            else 'Right if this is a part of the data set. Otherwise the labels have other numbers '
            'than the classes.',
        )
    train = next((counts[name] for name in counts if name.startswith('train')), None)
    if train is None:
        return
    unseen = [k for k in names if k not in train and k not in nowhere]
    if unseen:
        yield Finding(
            'class_not_in_train',
            False,
            f'{len(unseen)} classes occur, but not in the split that is trained on: '
            f'{_some(unseen, names)}',
            'They will be scored with 0.',
            advice='Divide the pictures anew so that every class is in train.',
        )


def _some(ids: Sequence[int], names: dict[int, str]) -> str:
    shown = ', '.join(f'{k} ({names[k]})' for k in ids[:8])
    return shown + (f' and {len(ids) - 8} more' if len(ids) > 8 else '')
