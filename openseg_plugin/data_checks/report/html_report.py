"""The report: an HTML page with small pictures, and lists of files for the commands.

The page loads nothing from elsewhere; every name in it is escaped.
"""

import contextlib
from collections.abc import Sequence
from html import escape
from pathlib import Path

from openseg_plugin.data_checks.dataset_spec import Source
from openseg_plugin.data_checks.examine import Record
from openseg_plugin.data_checks.finding import Finding
from openseg_plugin.data_checks.plural import several, verb
from openseg_plugin.data_checks.report.text_report import class_table, mend
from openseg_plugin.data_checks.report.thumbnails import (
    IGNORED_COLOURS,
    WRONG_COLOURS,
    class_colours,
    data_url,
    thumbnails,
)
from openseg_plugin.data_checks.statistics import count_classes
from openseg_plugin.utils import files

NAME = 'index.html'
_PER_FINDING, _PER_CLASS = 5, 3
_STYLE = """
body{font:15px/1.45 sans-serif;margin:2em auto;max-width:72em;padding:0 1em;color:#222}
pre{background:#f3f3f5;padding:.8em;overflow-x:auto;font-size:13px}
section{border-top:1px solid #ccc;margin-top:1.5em}
figure{margin:.6em 0}figure img{margin-right:4px;vertical-align:top;border:1px solid #999}
figcaption{font-size:12px;color:#555;overflow-wrap:anywhere}
.stop{color:#b3261e}.warn{color:#8a5a00}.patch{display:inline-block;width:1em;height:1em;
border:1px solid #777;vertical-align:-2px;margin-right:.4em}
"""


def write_report(
    folder: Path, source: Source, records: Sequence[Record], findings: Sequence[Finding]
) -> Path:
    """Writes ``index.html`` and, per finding, ``<key>.txt`` (all files) and its tables.

    Returns:
        The page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for finding in findings:
        if finding.files:
            text = ''.join(f'{path.absolute()}\n' for path in finding.files)
            files.write_bytes(folder, f'{finding.key}.txt', text.encode('utf-8', 'surrogateescape'))
        for name, content in finding.tables.items():
            files.write_bytes(folder, name, content.encode())
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">",
        f'<title>Labels of {_text(source.name)}</title><style>{_STYLE}</style></head><body>',
        f'<h1>Labels of {_text(source.name)}</h1>',
        _verdict(findings),
        _legend(source, records),
    ]
    parts += [_finding(source, finding, folder) for finding in findings]
    parts.append(
        f'<section><h2>Numbers</h2><pre>{_text(_lines(class_table(source, records)))}</pre>'
    )
    parts += ['</section>', *_classes(source, records), '</body></html>\n']
    page = '\n'.join(parts)
    files.write_bytes(folder, NAME, page.encode('utf-8', 'replace'))
    with contextlib.suppress(OSError):
        (folder / files.PARTIAL).rmdir()
    return folder / NAME


def _text(value: object) -> str:
    return escape(str(value), quote=True)


def _lines(lines: Sequence[str]) -> str:
    return '\n'.join(lines)


def _verdict(findings: Sequence[Finding]) -> str:
    stops = sum(finding.stops for finding in findings)
    if stops:
        text = f'{several(stops, "finding")} {verb(stops, "stops", "stop")} it'
        return f'<p class="stop"><b>Training must not start: {text}.</b></p>'
    return f'<p><b>Training may start.</b> {several(len(findings), "warning")}.</p>'


def _legend(source: Source, records: Sequence[Record]) -> str:
    """What the colours of the labels mean."""
    rules = next((s.rules for s in source.splits if s.rules.classes), source.splits[0].rules)
    found = [k for k in count_classes(records) if 0 <= k != rules.ignore_index]
    number = len(rules.classes) or 1 + max(found, default=-1)
    colours = class_colours(rules, number)
    parts = [
        f'{_patch(_plain(colours[k]))}{k} {_text(rules.classes[k] if rules.classes else "")}'
        for k in range(min(number, len(colours)))
    ]
    parts += [_patch(_checks(IGNORED_COLOURS)) + 'ignored']
    parts += [_patch(_checks(WRONG_COLOURS)) + 'no class']
    return f'<p class="legend">{" &emsp; ".join(parts)}</p>'


def _patch(background: str) -> str:
    return f'<span class="patch" style="background:{background}"></span>'


def _plain(colour: Sequence[int]) -> str:
    return f'rgb({",".join(map(str, map(int, colour)))})'


def _checks(pair: Sequence[Sequence[int]]) -> str:
    one, other = map(_plain, pair)
    return f'repeating-conic-gradient({one} 0 25%,{other} 0 50%) 0 0/8px 8px'


def _finding(source: Source, finding: Finding, folder: Path) -> str:
    kind = 'stop' if finding.stops else 'warn'
    parts = [
        f'<section><h2 class="{kind}">{_text(finding.title)}</h2>',
        f'<p>{_text(finding.meaning)}</p><p>{_text(finding.advice)}</p>',
    ]
    steps = mend(source, finding, report=folder)
    if steps:
        parts.append(f'<pre>{_text(_lines(steps))}</pre>')
    shown = finding.records[:_PER_FINDING]
    parts += [_figure(record) for record in shown]
    if finding.files:
        files_found = several(len(finding.files), 'file')
        parts.append(f'<p>{files_found}, listed in {_text(finding.key)}.txt</p>')
    return '\n'.join([*parts, '</section>'])


def _figure(record: Record, *, only: int | None = None) -> str:
    images = ''.join(
        f'<img alt="{_text(what)}" title="{_text(what)}" '
        f'src="{data_url(picture, lossless=what.startswith("label"))}">'
        for what, picture in thumbnails(record, only=only)
    )
    names = ', '.join(str(p) for p in (record.pair.picture, record.pair.label) if p is not None)
    return f'<figure>{images}<figcaption>{_text(names)}</figcaption></figure>'


def _classes(source: Source, records: Sequence[Record]) -> list[str]:
    """A section per class with the labels that show most of it."""
    labelled = [r for r in records if r.label is not None and 'counts' in r.label]
    parts = []
    rules = next((s.rules for s in source.splits if s.rules.classes), source.splits[0].rules)
    found = count_classes(labelled)
    colours = class_colours(rules, 1 + max(found, default=0))
    for k in sorted(k for k in found if 0 <= k != rules.ignore_index):
        name = rules.classes[k] if k < len(rules.classes) else ''
        colour = colours[k] if k < len(colours) else (128, 128, 128)
        parts.append(
            f'<section><h3>{_patch(_plain(colour))}{k} {_text(name)}</h3>'
            f'<p>{several(found[k].pixels, "pixel")} in '
            f'{several(len(found[k].records), "label")}; the most of it is in:</p>'
        )
        largest = sorted(found[k].records, key=lambda r: -_pixels(r, k))[:_PER_CLASS]
        parts += [*(_figure(record, only=k) for record in largest), '</section>']
    return parts


def _pixels(record: Record, k: int) -> int:
    rules = record.split.rules
    return sum(n for v, n in record.label['counts'].items() if rules.train_value(int(v)) == k)
