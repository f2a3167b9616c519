"""Tables of the published files in the READMEs, made from the entries.

A README shows where its table belongs by a pair of comments, which stay: ``<!-- zoo:METHOD -->``
(in the top README ``<!-- zoo -->``) and ``<!-- /zoo -->``.
"""

from collections.abc import Sequence
from pathlib import Path

from openseg_plugin.errors import ConfigError
from openseg_plugin.model_zoo.entries import NOT_OURS, Entry, arguments, entries
from openseg_plugin.paths import configs_root
from openseg_plugin.utils.files import write_text

_END = '<!-- /zoo -->'
_HEADER = ('file', 'dataset', 'mIoU', 'multi-scale, notes', 'config, options', 'how to get it')
_CROPS_HEADER = 'pixAcc/mIoU: val (crop); val'
_PLACE = 3  # of that column
_SUMMARY_HEADER = (
    'method',
    'published files',
    'sources',
    'best Cityscapes mIoU',
    'multi-scale',
)


def texts() -> dict[Path, str]:
    """README -> its text with the tables as they should be.

    Raises:
        ConfigError: a README is missing, or it has no place for its table.
    """
    root = configs_root()
    found = {}
    for method in methods():
        path = root / method / 'README.md'
        found[path] = _filled(path, f'<!-- zoo:{method} -->', method_table(method))
    path = root.parent / 'README.md'
    return {**found, path: _filled(path, '<!-- zoo -->', summary_table())}


def write() -> list[Path]:
    """Brings the READMEs up to date; those that were not.

    Raises:
        ConfigError: as :func:`texts`.
    """
    old = {path: text for path, text in texts().items() if path.read_text('utf-8') != text}
    for path, text in old.items():
        write_text(str(path), text)
    return list(old)


def methods() -> list[str]:
    """Folders of configs with published files, most files first."""
    names = [entry.method for entry in entries()]
    return sorted(set(names), key=lambda name: (-names.count(name), name))


def method_table(method: str) -> str:
    """All files of one method; a column of both metrics of pytorch-cv where any has them."""
    own = [entry for entry in entries() if entry.method == method]
    rows = [_cells(entry) for entry in own]
    header = list(_HEADER)
    if any(entry.miou_crop for entry in own):
        header.insert(_PLACE, _CROPS_HEADER)
        for entry, cells in zip(own, rows, strict=True):
            cells.insert(_PLACE, _both(entry))
    return _table(header, rows)


def summary_table() -> str:
    """One line per method, those without published files last."""
    with_files = methods()
    others = {path.parent.name for path in configs_root().glob('*/README.md')} - {*with_files}
    return _table(_SUMMARY_HEADER, [_summary(name) for name in (*with_files, *sorted(others))])


def _cells(entry: Entry) -> list[str]:
    place = entry.address or entry.page
    how = f'`get {entry.name}`'
    if entry.address is None:
        how = f'by hand, from [the page]({entry.page}); {how} says where to'
    return [
        f'[{entry.file}]({place})',
        entry.data if entry.classes is None else f'{entry.data} ({entry.classes})',
        _score(entry.miou),
        _score(entry.miou_ms) + (f' ({entry.note})' if entry.note else ''),
        _config(entry),
        how,
    ]


def _both(entry: Entry) -> str:
    """Both metrics of pytorch-cv on crops, then on whole images."""
    if entry.miou_crop is None:
        return '-'
    whole = '-'
    if entry.pix_acc is not None:
        whole = f'{_score(entry.pix_acc)}/{_score(entry.miou)}'
    return f'{_score(entry.pix_acc_crop)}/{_score(entry.miou_crop)}; {whole}'


def _config(entry: Entry) -> str:
    """Link to the config and what is to be added to it."""
    name = entry.config.removeprefix(f'{entry.method}/')
    link = f'[{name}]({name})' if '/' not in name else f'[{name}](../{name})'
    if entry.data in NOT_OURS or entry.use == 'weights':
        return f'{link}, weights only'
    if entry.use == 'backbone':
        return f'{link} starts from it'
    words = arguments(entry)
    return f'{link} `{" ".join(words)}`' if words else link


def _summary(method: str) -> list[str]:
    own = [entry for entry in entries() if entry.method == method]
    on_cityscapes = [entry for entry in own if entry.data == 'Cityscapes']
    single = [entry.miou for entry in on_cityscapes if entry.miou]
    several = [entry.miou_ms for entry in on_cityscapes if entry.miou_ms]
    return [
        f'[{method}](configs/{method}/README.md)',
        str(len(own)),
        ', '.join(sorted({entry.source for entry in own})) or '-',
        _score(max(single, default=None)),
        _score(max(several, default=None)),
    ]


def _score(percent: float | None) -> str:
    return '-' if percent is None else f'{percent:.2f}'


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ['---'] * len(header), *rows]
    return ''.join(f'| {" | ".join(line)} |\n' for line in lines)


def _filled(path: Path, start: str, table: str) -> str:
    """The text of ``path`` with ``table`` between its marks."""
    try:
        text = path.read_text(encoding='utf-8')
    except FileNotFoundError as error:
        raise ConfigError(f'{path} does not exist: write it, with {start} and {_END}') from error
    before, mark, rest = text.partition(f'{start}\n')
    _, end, after = rest.partition(_END)
    if not (mark and end):
        raise ConfigError(f'{path} needs the lines {start} and {_END} where its table belongs')
    return f'{before}{start}\n\n{table}\n{_END}{after}'
