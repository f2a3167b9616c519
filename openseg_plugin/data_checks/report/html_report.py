"""The report: a page with small images, and lists of files for the commands.

The page loads nothing from elsewhere; every name in it is escaped. Images are (H, W, 3) uint8 RGB.
"""

import base64
import contextlib
import warnings
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageFile, ImageOps

from openseg_plugin.converters.datasets.core.pairs import class_palette
from openseg_plugin.data_checks.dataset_spec import Rules, Source, Split
from openseg_plugin.data_checks.examine import ClassCount, Record, count_classes
from openseg_plugin.data_checks.finding import Finding, several, verb
from openseg_plugin.data_checks.report.text_report import class_table, fix
from openseg_plugin.report.drawing import OVERLAY, blend, class_colors, hatch, shrunk_positions
from openseg_plugin.report.page import readable, write_page
from openseg_plugin.utils import files

_SIDE = 260  # pixels of the longer side
# Patterns, not colors: any color may be that of a class.
_CHECK = 4  # pixels
WRONG_COLORS = ((255, 255, 255), (230, 0, 0))  # values that are no class
_PLAIN, _IGNORED, _WRONG = 0, 1, 2
# Other classes, where one is shown alone: light if its color is near the dark gray.
_DARK, _LIGHT = (60, 60, 60), (215, 215, 215)
_BLANK = (200, 200, 200)


def thumbnails(record: Record, *, only: int | None = None) -> list[tuple[str, np.ndarray]]:
    """What is shown of a pair, each with its caption; files that cannot be read are left gray.

    Args:
        record: the pair.
        only: show this class in color and the others gray.
    """
    image = _image(record.pair.image, turned=record.split.turns_images)
    shown = [('image', _small(image))] if image is not None else []
    if record.pair.label is None:
        return shown
    label = _label(record, only=only)
    if label is None:
        return [*shown, ('label: cannot be read', np.full((60, 80, 3), _BLANK, np.uint8))]
    caption = 'label (gray stripes: ignored, red and white checks: no class)'
    shown.append((caption, _drawn(*label, _fitting(label[0]))))
    if image is not None:
        small = shown[0][1]
        drawn = _drawn(*label, (small.shape[1], small.shape[0]))
        shown.append(('overlay', blend(small, drawn, opacity=OVERLAY)))
    return shown


def palette_of(rules: Rules, number: int = 0) -> list[tuple[int, ...]]:
    """The colors that thumbnails give the classes, at least ``number`` where none are named."""
    if rules.palette:
        return [tuple(map(int, color)) for color in rules.palette]
    return list(class_palette(min(max(len(rules.classes), number), 255)))


def data_url(image: np.ndarray, *, lossless: bool) -> str:
    """An RGB image as the address of an ``<img>``: PNG, or a JPEG a tenth as large."""
    kind = 'png' if lossless else 'jpeg'
    content = cv2.imencode(f'.{kind}', cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()
    return f'data:image/{kind};base64,{base64.b64encode(content).decode()}'


def _open(path: Path | None, *, turned: bool, mode: str | None) -> np.ndarray | None:
    """Pixels of a file, as far as it can be read; None if it cannot be opened at all."""
    if path is None:
        return None
    before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            with Image.open(path) as image:
                upright = ImageOps.exif_transpose(image) if turned else image
                return np.asarray(upright.convert(mode) if mode else upright)
    except Exception:  # whatever a decoder does with a broken file: there is no thumbnail then
        return None
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def _image(path: Path | None, *, turned: bool) -> np.ndarray | None:
    return _open(path, turned=turned, mode='RGB')


def _label(record: Record, *, only: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Colors (H, W, 3) uint8, which pixels get a pattern, (H, W) uint8, and what must be seen.

    The last is (H, W) bool: values without a class, and the class that is shown alone.
    """
    raw = _open(record.pair.label, turned=False, mode=None)
    if raw is None or raw.size == 0:
        return None
    if raw.ndim == 3:
        colors = raw[..., :3] if raw.shape[2] >= 3 else raw[..., [0, 0, 0]]
        return (
            colors.astype(np.uint8),
            np.zeros(raw.shape[:2], np.uint8),
            np.zeros(raw.shape[:2], bool),
        )
    rules = record.split.rules
    inside = (raw >= 0) & (raw < 256) if raw.dtype != bool else np.ones(raw.shape, bool)
    values = np.where(inside, rules.table[np.where(inside, raw, 0).astype(np.uint8)], -1)
    if only is not None:
        palette = palette_of(rules, only + 1)
        own = palette[only] if only < len(palette) else (255, 255, 255)
        is_near = np.abs(np.subtract(own, _DARK)).max() <= 60
        others = _LIGHT if is_near else _DARK
        shown = np.full((*values.shape, 3), others, np.uint8)
        shown[values == only] = own
    else:
        shown = class_colors(values, palette_of(rules, 1 + int(values.max(initial=0))))
    marks = np.full(values.shape, _PLAIN, np.uint8)
    marks[values == rules.ignore_index] = _IGNORED
    marks[values < 0] = _WRONG
    kept = marks == _WRONG
    return shown, marks, kept if only is None else kept | (values == only)


def _drawn(
    colors: np.ndarray, marks: np.ndarray, kept: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    """A label at ``size`` (width, height), with its patterns; :func:`_label` gives the rest."""
    if size[0] < marks.shape[1]:
        chosen = shrunk_positions(marks.shape, size[::-1], np.flatnonzero(kept))
        shown, small = colors.reshape(-1, 3)[chosen], marks.reshape(-1)[chosen]
    else:
        shown = cv2.resize(np.ascontiguousarray(colors), size, interpolation=cv2.INTER_NEAREST)
        small = cv2.resize(marks, size, interpolation=cv2.INTER_NEAREST)
    rows, columns = (np.arange(side) // _CHECK for side in small.shape)
    odd = (rows[:, None] + columns) % 2
    hatch(shown, small == _IGNORED)
    wrong = small == _WRONG
    shown[wrong] = np.array(WRONG_COLORS, np.uint8)[odd[wrong]]
    return shown


def _fitting(image: np.ndarray) -> tuple[int, int]:
    """(width, height) of a thumbnail."""
    height, width = image.shape[:2]
    factor = _SIDE / max(height, width)
    return max(round(width * factor), 1), max(round(height * factor), 1)


def _small(image: np.ndarray) -> np.ndarray:
    size = _fitting(image)
    how = cv2.INTER_AREA if max(size) < max(image.shape[:2]) else cv2.INTER_NEAREST
    return cv2.resize(np.ascontiguousarray(image), size, interpolation=how)


NAME = 'index.html'
_PER_FINDING, _PER_CLASS = 5, 3


def write_report(
    folder: Path, source: Source, records: Sequence[Record], findings: Sequence[Finding]
) -> Path:
    """Writes ``index.html`` and, per finding, ``<key>.txt`` (all files) and its tables.

    Returns:
        The page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    listed: dict[str, list[Path]] = {}
    for finding in findings:
        listed.setdefault(finding.key, []).extend(finding.files)
    for key, paths in listed.items():
        if paths:
            text = ''.join(f'{path.absolute()}\n' for path in dict.fromkeys(paths))
            files.write_below(folder, f'{key}.txt', text.encode('utf-8', 'surrogateescape'))
    for finding in findings:
        for name, content in finding.tables.items():
            files.write_below(folder, name, content.encode())
    rules = next((s.rules for s in source.splits if s.rules.classes), source.splits[0].rules)
    with contextlib.suppress(OSError):
        (folder / files.PARTIAL).rmdir()
    classes = _classes(source, records, rules)
    write_page(
        folder,
        'data_checks.html.jinja',
        title=f'Labels of {source.name}',
        verdict=_verdict(findings),
        is_blocked=any(finding.is_blocking for finding in findings),
        findings=[_finding(source, finding, folder) for finding in findings],
        splits=[split.name for split in _labelled_splits(source)],
        classes=classes,
        largest=max([value for row in classes for value in row['fractions']] + [1e-9]),
        wrong=_checks(WRONG_COLORS),
        opacity=OVERLAY,
        numbers=readable('\n'.join(class_table(source, records))),
    )
    return folder / NAME


def _verdict(findings: Sequence[Finding]) -> str:
    stops = sum(finding.is_blocking for finding in findings)
    if stops:
        text = f'{several(stops, "finding")} {verb(stops, "stops", "stop")} it'
        return f'Training must not start: {text}.'
    return f'Training may start. {several(len(findings), "warning")}.'


def _plain(color: Sequence[int]) -> str:
    return f'rgb({",".join(map(str, map(int, color)))})'


def _checks(pair: Sequence[Sequence[int]]) -> str:
    one, other = map(_plain, pair)
    return f'repeating-conic-gradient({one} 0 25%,{other} 0 50%) 0 0/8px 8px'


def _finding(source: Source, finding: Finding, folder: Path) -> dict:
    """What the template shows of a finding."""
    return {
        'is_blocking': finding.is_blocking,
        'title': readable(finding.title),
        'meaning': readable(finding.meaning),
        'advice': readable(finding.advice),
        'fix': readable('\n'.join(fix(source, finding, report=folder))),
        'figures': [_figure(record) for record in finding.records[:_PER_FINDING]],
        'files': several(len(finding.files), 'file') if finding.files else '',
        'list': f'{finding.key}.txt',
    }


def _figure(record: Record, *, only: int | None = None) -> dict:
    names = ', '.join(str(p) for p in (record.pair.image, record.pair.label) if p is not None)
    images = [
        (what, data_url(image, lossless=what.startswith('label')))
        for what, image in thumbnails(record, only=only)
    ]
    return {'names': readable(names), 'images': images}


def _labelled_splits(source: Source) -> list[Split]:
    return [split for split in source.splits if any(pair.label for pair in split.pairs)]


def _classes(source: Source, records: Sequence[Record], rules: Rules) -> list[dict]:
    """Every class with its color, its fraction of each split, and the labels that show most."""
    labelled = [r for r in records if r.label is not None and 'counts' in r.label]
    found = count_classes(labelled)
    ids = sorted(set(range(len(rules.classes))) | {k for k in found if k >= 0})
    colors = palette_of(rules, 1 + max(ids, default=0))
    per_split = [
        count_classes([r for r in labelled if r.split is s]) for s in _labelled_splits(source)
    ]
    totals = [
        sum(c.pixels for k, c in counts.items() if 0 <= k != rules.ignore_index) or 1
        for counts in per_split
    ]
    rows = []
    for k in ids:
        if k == rules.ignore_index:
            continue
        count = found.get(k, ClassCount())
        largest = sorted(count.records, key=lambda r: -_pixels(r, k))[:_PER_CLASS]
        rows.append(
            {
                'id': k,
                'name': readable(rules.classes[k]) if k < len(rules.classes) else '',
                'color': _plain(colors[k] if k < len(colors) else (128, 128, 128)),
                'fractions': [
                    counts.get(k, ClassCount()).pixels / total
                    for counts, total in zip(per_split, totals)
                ],
                'found': f'{several(count.pixels, "pixel")} in '
                f'{several(len(count.records), "label")}',
                'figures': [_figure(record, only=k) for record in largest],
            }
        )
    return rows


def _pixels(record: Record, k: int) -> int:
    rules = record.split.rules
    counts = record.label['counts'] if record.label else {}
    return sum(n for v, n in counts.items() if rules.train_value(int(v)) == k)
