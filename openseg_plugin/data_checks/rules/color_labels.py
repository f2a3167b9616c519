"""Findings about labels that hold colors instead of class numbers."""

from collections import Counter
from collections.abc import Iterator, Sequence

from openseg_plugin.data_checks.dataset_spec import Rules, Source, Split
from openseg_plugin.data_checks.examine import Record
from openseg_plugin.data_checks.file_facts import MANY_COLORS
from openseg_plugin.data_checks.finding import PLACE, Finding, conversion, several, verb

Color = tuple[int, int, int]
_TABLE = 'colors.txt'
_SHOWN = 6
_STRAY = 0.01  # fraction of the pixels of unknown colors that may be noise


def color_findings(source: Source, records: Sequence[Record]) -> Iterator[Finding]:
    """RGB labels, and palette labels whose numbers are in another order than the classes."""
    colored = _once(r for r in records if r.label is not None and 'colors' in r.label)
    if colored:
        yield _colored(source, colored)
    by_number = _once(r for r in records if r.label is not None and r.label.get('palette'))
    shuffled = [r for r in by_number if _is_shuffled(r)] if _shares_palette(by_number) else []
    if shuffled:
        yield _shuffled(source, shuffled)
    elif _palettes_differ(by_number):
        yield _different_palettes(source, by_number)


def _shares_palette(records: Sequence[Record]) -> bool:
    """The colors of the files are those of the classes, but for one that may be void's."""
    others = set()
    for record in records:
        rules = record.split.rules
        palette = {tuple(color) for color in rules.palette}
        others |= {
            color
            for raw, color in _used_palette(record).items()
            if color not in palette and rules.train_value(raw) not in (rules.ignore_index, -1)
        }
    return len(others) <= 1


def _palettes_differ(records: Sequence[Record]) -> bool:
    """One number has different colors in two files, and one color different numbers."""
    colors: dict[int, set[Color]] = {}
    numbers: dict[Color, set[tuple[int, ...]]] = {}
    for record in records:
        by_color: dict[Color, list[int]] = {}
        for raw, color in _used_palette(record).items():
            colors.setdefault(raw, set()).add(color)
            by_color.setdefault(color, []).append(raw)
        for color, raws in by_color.items():
            if len(raws) == 1:  # some palettes give two numbers one color
                numbers.setdefault(color, set()).add(tuple(raws))
    several_colors = any(len(found) > 1 for found in colors.values())
    return several_colors and any(len(found) > 1 for found in numbers.values())


def _different_palettes(source: Source, records: list[Record]) -> Finding:
    rules = records[0].split.rules
    used: Counter[Color] = Counter()
    for record in records:
        palette = _used_palette(record)
        for raw, pixels in record.label_facts['counts'].items():
            used[palette.get(int(raw), (0, 0, 0))] += pixels
    settings: list[str] = []
    commands: list[str] = []
    tables: dict[str, str] = {}
    advice = ''
    if not rules.classes:
        table = _table(rules, used, is_gray=False)
        commands, settings = _by_colors(source, table, records)
        tables = {_TABLE: _lines(table)}
        advice = (
            f'{_TABLE} in the report lists the colors, one line each: give them the names of '
            'their classes, in the order that you want, before you run the command.'
        )
    else:
        shown = ', '.join(_text(color) for color, _ in used.most_common(_SHOWN))
        advice = (
            f'The colors are what the files have in common ({shown}): say which class has which '
            'in a table of colors, and convert with "openseg convert-dataset masks SRC '
            'DST --kind colors --colors TABLE".'
        )
    return Finding(
        'palettes_differ',
        True,
        f'the palettes of {several(len(records), "label")} differ: a color has another number '
        'in another file',
        'A drawing program numbers the colors of every file as they come. The images look '
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


def _colored(source: Source, records: list[Record]) -> Finding:
    colors: Counter[Color] = Counter()
    for record in records:
        for text, pixels in record.label_facts['colors'].items():
            red, green, blue = (int(v) for v in text.split(','))
            colors[red, green, blue] += pixels
    lossy = [record for record in records if record.label_facts['many']]
    rules = records[0].split.rules
    is_gray = all(red == green == blue for red, green, blue in colors)
    image = verb(len(records), 'image', 'images')
    what = f'gray {image} saved with three channels' if is_gray else f'color {image}'
    meaning = (
        'A label needs one number per pixel. Loaders take a color image for a stack of three '
        'labels, or turn it into grays that mean nothing.'
    )
    if lossy:
        return Finding(
            'lossy_colors',
            True,
            f'{several(len(lossy), "label")} {verb(len(lossy), "has", "have")} more than '
            f'{MANY_COLORS} colors: saved as JPEG, or resized with smooth edges',
            f'{meaning} Mixed colors at every edge belong to no class and cannot be told apart.',
            [record.pair.label_file for record in lossy],
            lossy,
            advice='Export the labels again as PNG, in the size of the images, unsmoothed.',
        )
    table = _table(rules, colors, is_gray=is_gray)
    commands, settings = _by_colors(source, table, records)
    advice = (
        f'{_TABLE} in the report lists color and class, one line each: look whether the names are '
        'right before you run the command.'
    )
    doubt = _doubt(rules, table, colors)
    if doubt:
        commands, settings = [], []
        advice = (
            f'{doubt}, so no command is given that would guess: {_TABLE} in the report '
            '(--report DIR) lists the colors; write the names of your classes there, and convert '
            f'with "openseg convert-dataset masks SRC DST --kind colors --colors {_TABLE}'
            ' --ignore void".'
        )
    shown = ', '.join(_text(color) for color, _ in colors.most_common(_SHOWN))
    return Finding(
        'rgb_labels',
        True,
        f'RGB labels: {several(len(records), "label")} {verb(len(records), "is a", "are")} {what}; '
        f'colors (R, G, B): {shown}'
        + (f' and {len(colors) - _SHOWN} more' if len(colors) > _SHOWN else ''),
        meaning,
        [record.pair.label_file for record in records],
        records,
        settings,
        commands,
        advice,
        {_TABLE: _lines(table)},
    )


def _doubt(rules: Rules, table: list[tuple[str, Color]], colors: Counter[Color]) -> str:
    """Why a table may give classes the wrong colors, or lose some; '' where it does not."""
    if not rules.classes:
        return ''
    if table[0][0] != rules.classes[0]:
        return 'which color belongs to which class is not known'
    unknown = [colors[color] for name, color in table if name == 'void']
    if len(unknown) > 1 and sum(unknown) > _STRAY * sum(colors.values()):
        return f'{len(unknown)} colors belong to no class of the palette'
    return ''


def _by_colors(
    source: Source, table: list[tuple[str, Color]], records: Sequence[Record]
) -> tuple[list[str], list[str]]:
    """Command and settings that read the colors of a table and write numbers."""
    has_void = any(name == 'void' for name, _ in table)
    return conversion(
        source,
        *('--kind', 'colors', '--colors', f'{PLACE}/{_TABLE}'),
        *(['--ignore', 'void'] if has_void else []),
        splits=_splits_of(records),
    )


def _lines(table: Sequence[tuple[str, Color]]) -> str:
    return ''.join(f'{" ".join(map(str, color))} {name}\n' for name, color in table)


def _table(rules: Rules, colors: Counter[Color], *, is_gray: bool) -> list[tuple[str, Color]]:
    """(class name, color) in label order; colors of no class come last as 'void'."""
    names = list(rules.classes)
    palette: list[Color] = [(red, green, blue) for red, green, blue in rules.palette]
    if names and is_gray and not set(palette) >= set(colors):
        palette = [(k, k, k) for k in range(len(names))]
    if names and len(names) == len(palette):
        rest = sorted(set(colors) - set(palette))
        return [*zip(names, palette), *(('void', color) for color in rest)]
    ordered = sorted(colors) if is_gray else [color for color, _ in colors.most_common()]
    return [(f'class_{k}', color) for k, color in enumerate(ordered)]


def _text(color: Sequence[int]) -> str:
    return f'({", ".join(map(str, color))})'


def _used_palette(record: Record) -> dict[int, Color]:
    return {int(v): tuple(c) for v, c in record.label_facts.get('palette', {}).items()}


def _is_shuffled(record: Record) -> bool:
    """The colors are those of the classes, but not at the classes' numbers."""
    palette = [tuple(color) for color in record.split.rules.palette]
    if len(set(palette)) < max(len(palette), 2):
        return False
    rules = record.split.rules
    return any(
        color in palette and palette.index(color) != rules.train_value(raw)
        for raw, color in _used_palette(record).items()
    )


def _shuffled(source: Source, records: list[Record]) -> Finding:
    rules = records[0].split.rules
    palette = [tuple(color) for color in rules.palette]
    example = next(
        (raw, color)
        for raw, color in _used_palette(records[0]).items()
        if color in palette and palette.index(color) != rules.train_value(raw)
    )
    wanted = palette.index(example[1])
    used = Counter(c for record in records for c in _used_palette(record).values())
    table = _table(rules, used, is_gray=False)
    commands, settings = _by_colors(source, table, records)
    return Finding(
        'palette_order',
        True,
        f'palette labels in another order: {several(len(records), "label")} '
        f'{verb(len(records), "shows", "show")} the color {_text(example[1])} of class {wanted} '
        f'({rules.classes[wanted]}) at the value {example[0]}',
        'A drawing program sorted the palette anew when it saved the file. The image looks '
        'right, but training reads the numbers, and those are other classes.',
        [record.pair.label_file for record in records],
        records,
        settings,
        commands,
        'The command reads the colors and writes the numbers of their classes.',
        {_TABLE: _lines(table)},
    )
