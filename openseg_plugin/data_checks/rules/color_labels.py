"""Findings about labels that hold colours instead of class numbers."""

from collections import Counter
from collections.abc import Iterator, Sequence

from openseg_plugin.data_checks.dataset_spec import Rules, Source, Split
from openseg_plugin.data_checks.examine import Record
from openseg_plugin.data_checks.file_facts import MANY_COLOURS
from openseg_plugin.data_checks.finding import PLACE, Finding, conversion
from openseg_plugin.data_checks.plural import several, verb

Colour = tuple[int, int, int]
_TABLE = 'colours.txt'
_SHOWN = 6


def colour_findings(source: Source, records: Sequence[Record]) -> Iterator[Finding]:
    """RGB labels, and palette labels whose numbers are in another order than the classes."""
    coloured = _once(r for r in records if r.label is not None and 'colours' in r.label)
    if coloured:
        yield _coloured(source, coloured)
    shuffled = _once(r for r in records if r.label is not None and _is_shuffled(r))
    if shuffled:
        yield _shuffled(source, shuffled)


def _once(records) -> list[Record]:
    return list({record.pair.label: record for record in records}.values())


def _splits_of(records: Sequence[Record]) -> list[Split]:
    return list({id(record.split): record.split for record in records}.values())


def _coloured(source: Source, records: list[Record]) -> Finding:
    colours: Counter[Colour] = Counter()
    for record in records:
        for text, pixels in record.label['colours'].items():
            colours[tuple(int(v) for v in text.split(','))] += pixels
    lossy = [record for record in records if record.label['many']]
    rules = records[0].split.rules
    is_grey = all(red == green == blue for red, green, blue in colours)
    image = verb(len(records), 'image', 'images')
    what = f'grey {image} saved with three channels' if is_grey else f'colour {image}'
    meaning = (
        'A label needs one number per pixel. Loaders take a colour image for a stack of three '
        'labels, or turn it into greys that mean nothing.'
    )
    if lossy:
        return Finding(
            'lossy_colours',
            True,
            f'{several(len(lossy), "label")} {verb(len(lossy), "has", "have")} more than '
            f'{MANY_COLOURS} colours: saved as JPEG, or resized with smooth edges',
            f'{meaning} Mixed colours at every edge belong to no class and cannot be told apart.',
            [record.pair.label for record in lossy],
            lossy,
            advice='Export the labels again as PNG, in the size of the images, unsmoothed.',
        )
    table = _table(rules, colours, is_grey=is_grey)
    commands, settings = conversion(
        source,
        '--kind',
        'colours',
        '--colours',
        f'{PLACE}/{_TABLE}',
        *(['--ignore', 'void'] if any(name == 'void' for name, _ in table) else []),
        splits=_splits_of(records),
    )
    shown = ', '.join(_text(colour) for colour, _ in colours.most_common(_SHOWN))
    return Finding(
        'rgb_labels',
        True,
        f'RGB labels: {several(len(records), "label")} {verb(len(records), "is a", "are")} {what}; '
        f'colours (R, G, B): {shown}'
        + (f' and {len(colours) - _SHOWN} more' if len(colours) > _SHOWN else ''),
        meaning,
        [record.pair.label for record in records],
        records,
        settings,
        commands,
        f'{_TABLE} in the report lists colour and class, one line each: look whether the names are '
        'right before you run the command.',
        {_TABLE: ''.join(f'{" ".join(map(str, colour))} {name}\n' for name, colour in table)},
    )


def _table(rules: Rules, colours: Counter[Colour], *, is_grey: bool) -> list[tuple[str, Colour]]:
    """(class name, colour) in label order; colours of no class come last as 'void'."""
    names, palette = list(rules.classes), [tuple(c) for c in rules.palette]
    if names and is_grey and not set(palette) >= set(colours):
        palette = [(k, k, k) for k in range(len(names))]
    if names and len(names) == len(palette):
        rest = sorted(set(colours) - set(palette))
        return [*zip(names, palette), *(('void', colour) for colour in rest)]
    ordered = sorted(colours) if is_grey else [colour for colour, _ in colours.most_common()]
    return [(f'class_{k}', colour) for k, colour in enumerate(ordered)]


def _text(colour: Sequence[int]) -> str:
    return f'({", ".join(map(str, colour))})'


def _used_palette(record: Record) -> dict[int, Colour]:
    return {int(v): tuple(c) for v, c in record.label.get('palette', {}).items()}


def _is_shuffled(record: Record) -> bool:
    """The colours are those of the classes, but not at the classes' numbers."""
    palette = [tuple(colour) for colour in record.split.rules.palette]
    if len(set(palette)) < max(len(palette), 2):
        return False
    rules, wrong = record.split.rules, 0
    for raw, colour in _used_palette(record).items():
        value = rules.train_value(raw)
        if colour not in palette:
            if value not in (rules.ignore_index, -1):
                return False  # another palette altogether: says nothing about the numbers
        elif palette.index(colour) != value:
            wrong += 1
    return wrong > 0


def _shuffled(source: Source, records: list[Record]) -> Finding:
    rules = records[0].split.rules
    palette = [tuple(colour) for colour in rules.palette]
    example = next(
        (raw, colour)
        for raw, colour in _used_palette(records[0]).items()
        if colour in palette and palette.index(colour) != rules.train_value(raw)
    )
    wanted = palette.index(example[1])
    used = Counter(c for record in records for c in _used_palette(record).values())
    table = _table(rules, used, is_grey=False)
    commands, settings = conversion(
        source,
        '--kind',
        'colours',
        '--colours',
        f'{PLACE}/{_TABLE}',
        *(['--ignore', 'void'] if any(name == 'void' for name, _ in table) else []),
        splits=_splits_of(records),
    )
    return Finding(
        'palette_order',
        True,
        f'palette labels in another order: {several(len(records), "label")} '
        f'{verb(len(records), "shows", "show")} the colour {_text(example[1])} of class {wanted} '
        f'({rules.classes[wanted]}) at the value {example[0]}',
        'A drawing program sorted the palette anew when it saved the file. The image looks '
        'right, but training reads the numbers, and those are other classes.',
        [record.pair.label for record in records],
        records,
        settings,
        commands,
        'The command reads the colours and writes the numbers of their classes.',
        {_TABLE: ''.join(f'{" ".join(map(str, colour))} {name}\n' for name, colour in table)},
    )
