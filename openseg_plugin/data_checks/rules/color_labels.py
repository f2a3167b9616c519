"""Findings about labels that hold colours instead of class numbers."""

from collections import Counter
from collections.abc import Iterator, Sequence

from openseg_plugin.data_checks.dataset_spec import Rules, Source, Split
from openseg_plugin.data_checks.examine import Record
from openseg_plugin.data_checks.file_facts import MANY_COLOURS
from openseg_plugin.data_checks.finding import PLACE, Finding, conversion, several, verb

Colour = tuple[int, int, int]
_TABLE = 'colours.txt'
_SHOWN = 6
_STRAY = 0.01  # fraction of the pixels of unknown colours that may be noise


def colour_findings(source: Source, records: Sequence[Record]) -> Iterator[Finding]:
    """RGB labels, and palette labels whose numbers are in another order than the classes."""
    coloured = _once(r for r in records if r.label is not None and 'colours' in r.label)
    if coloured:
        yield _coloured(source, coloured)
    by_number = _once(r for r in records if r.label is not None and r.label.get('palette'))
    shuffled = [r for r in by_number if _is_shuffled(r)] if _shares_palette(by_number) else []
    if shuffled:
        yield _shuffled(source, shuffled)
    elif _palettes_differ(by_number):
        yield _different_palettes(source, by_number)


def _shares_palette(records: Sequence[Record]) -> bool:
    """The colours of the files are those of the classes, but for one that may be void's."""
    others = set()
    for record in records:
        rules = record.split.rules
        palette = {tuple(colour) for colour in rules.palette}
        others |= {
            colour
            for raw, colour in _used_palette(record).items()
            if colour not in palette and rules.train_value(raw) not in (rules.ignore_index, -1)
        }
    return len(others) <= 1


def _palettes_differ(records: Sequence[Record]) -> bool:
    """One number has different colours in two files, and one colour different numbers."""
    colours: dict[int, set[Colour]] = {}
    numbers: dict[Colour, set[tuple[int, ...]]] = {}
    for record in records:
        by_colour: dict[Colour, list[int]] = {}
        for raw, colour in _used_palette(record).items():
            colours.setdefault(raw, set()).add(colour)
            by_colour.setdefault(colour, []).append(raw)
        for colour, raws in by_colour.items():
            if len(raws) == 1:  # some palettes give two numbers one colour
                numbers.setdefault(colour, set()).add(tuple(raws))
    several_colours = any(len(found) > 1 for found in colours.values())
    return several_colours and any(len(found) > 1 for found in numbers.values())


def _different_palettes(source: Source, records: list[Record]) -> Finding:
    rules = records[0].split.rules
    used: Counter[Colour] = Counter()
    for record in records:
        palette = _used_palette(record)
        for raw, pixels in record.label_facts['counts'].items():
            used[palette.get(int(raw), (0, 0, 0))] += pixels
    settings: list[str] = []
    commands: list[str] = []
    tables: dict[str, str] = {}
    advice = ''
    if not rules.classes:
        table = _table(rules, used, is_grey=False)
        commands, settings = _by_colours(source, table, records)
        tables = {_TABLE: _lines(table)}
        advice = (
            f'{_TABLE} in the report lists the colours, one line each: give them the names of '
            'their classes, in the order that you want, before you run the command.'
        )
    else:
        shown = ', '.join(_text(colour) for colour, _ in used.most_common(_SHOWN))
        advice = (
            f'The colours are what the files have in common ({shown}): say which class has which '
            'in a table of colours, and convert with "openseg convert-dataset masks SRC '
            'DST --kind colours --colours TABLE".'
        )
    return Finding(
        'palettes_differ',
        True,
        f'the palettes of {several(len(records), "label")} differ: a colour has another number '
        'in another file',
        'A drawing program numbers the colours of every file as they come. The images look '
        'right, but training reads the numbers, and those mean something else in every file.',
        [record.pair.label_file for record in records],
        records,
        settings,
        commands,
        advice,
        tables,
    )


def _once(records) -> list[Record]:
    return list({record.pair.label: record for record in records}.values())


def _splits_of(records: Sequence[Record]) -> list[Split]:
    return list({id(record.split): record.split for record in records}.values())


def _coloured(source: Source, records: list[Record]) -> Finding:
    colours: Counter[Colour] = Counter()
    for record in records:
        for text, pixels in record.label_facts['colours'].items():
            red, green, blue = (int(v) for v in text.split(','))
            colours[red, green, blue] += pixels
    lossy = [record for record in records if record.label_facts['many']]
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
            [record.pair.label_file for record in lossy],
            lossy,
            advice='Export the labels again as PNG, in the size of the images, unsmoothed.',
        )
    table = _table(rules, colours, is_grey=is_grey)
    commands, settings = _by_colours(source, table, records)
    advice = (
        f'{_TABLE} in the report lists colour and class, one line each: look whether the names are '
        'right before you run the command.'
    )
    doubt = _doubt(rules, table, colours)
    if doubt:
        commands, settings = [], []
        advice = (
            f'{doubt}, so no command is given that would guess: {_TABLE} in the report '
            '(--report DIR) lists the colours; write the names of your classes there, and convert '
            f'with "openseg convert-dataset masks SRC DST --kind colours --colours {_TABLE}'
            ' --ignore void".'
        )
    shown = ', '.join(_text(colour) for colour, _ in colours.most_common(_SHOWN))
    return Finding(
        'rgb_labels',
        True,
        f'RGB labels: {several(len(records), "label")} {verb(len(records), "is a", "are")} {what}; '
        f'colours (R, G, B): {shown}'
        + (f' and {len(colours) - _SHOWN} more' if len(colours) > _SHOWN else ''),
        meaning,
        [record.pair.label_file for record in records],
        records,
        settings,
        commands,
        advice,
        {_TABLE: _lines(table)},
    )


def _doubt(rules: Rules, table: list[tuple[str, Colour]], colours: Counter[Colour]) -> str:
    """Why a table may give classes the wrong colours, or lose some; '' where it does not."""
    if not rules.classes:
        return ''
    if table[0][0] != rules.classes[0]:
        return 'which colour belongs to which class is not known'
    unknown = [colours[colour] for name, colour in table if name == 'void']
    if len(unknown) > 1 and sum(unknown) > _STRAY * sum(colours.values()):
        return f'{len(unknown)} colours belong to no class of the palette'
    return ''


def _by_colours(
    source: Source, table: list[tuple[str, Colour]], records: Sequence[Record]
) -> tuple[list[str], list[str]]:
    """Command and settings that read the colours of a table and write numbers."""
    has_void = any(name == 'void' for name, _ in table)
    return conversion(
        source,
        *('--kind', 'colours', '--colours', f'{PLACE}/{_TABLE}'),
        *(['--ignore', 'void'] if has_void else []),
        splits=_splits_of(records),
    )


def _lines(table: Sequence[tuple[str, Colour]]) -> str:
    return ''.join(f'{" ".join(map(str, colour))} {name}\n' for name, colour in table)


def _table(rules: Rules, colours: Counter[Colour], *, is_grey: bool) -> list[tuple[str, Colour]]:
    """(class name, colour) in label order; colours of no class come last as 'void'."""
    names = list(rules.classes)
    palette: list[Colour] = [(red, green, blue) for red, green, blue in rules.palette]
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
    return {int(v): tuple(c) for v, c in record.label_facts.get('palette', {}).items()}


def _is_shuffled(record: Record) -> bool:
    """The colours are those of the classes, but not at the classes' numbers."""
    palette = [tuple(colour) for colour in record.split.rules.palette]
    if len(set(palette)) < max(len(palette), 2):
        return False
    rules = record.split.rules
    return any(
        colour in palette and palette.index(colour) != rules.train_value(raw)
        for raw, colour in _used_palette(record).items()
    )


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
    commands, settings = _by_colours(source, table, records)
    return Finding(
        'palette_order',
        True,
        f'palette labels in another order: {several(len(records), "label")} '
        f'{verb(len(records), "shows", "show")} the colour {_text(example[1])} of class {wanted} '
        f'({rules.classes[wanted]}) at the value {example[0]}',
        'A drawing program sorted the palette anew when it saved the file. The image looks '
        'right, but training reads the numbers, and those are other classes.',
        [record.pair.label_file for record in records],
        records,
        settings,
        commands,
        'The command reads the colours and writes the numbers of their classes.',
        {_TABLE: _lines(table)},
    )
