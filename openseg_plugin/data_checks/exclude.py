"""Mends that take pictures with their labels out of a data set."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from openseg_plugin.data_checks.dataset_spec import Source
from openseg_plugin.data_checks.finding import FILE_LIST, PLACE

# Moves the files of a list out of the data set; files of one name get numbers.
_MOVE_OUT = f"mkdir -p unused && xargs -d '\\n' -a {FILE_LIST} mv --backup=numbered -t unused --"


def take_out(source: Source, key: str, files: Sequence[Path]) -> dict[str, Any]:
    """Arguments of a finding: commands, settings and tables that take its files out.

    Where a list file names the pictures of a split, a shorter list is written into the report
    and nothing is moved; elsewhere the files are moved away.

    Args:
        source: the data set.
        key: of the finding.
        files: pictures or labels; a list loses the lines that name one of them.
    """
    settings, tables, listed = [], {}, set()
    unwanted = set(files)
    for split in source.splits:
        if not split.lines:
            continue
        kept = []
        for pair, line in zip(split.pairs, split.lines):
            listed.update(p for p in (pair.picture, pair.label) if p in unwanted)
            if pair.picture not in unwanted and pair.label not in unwanted:
                kept.append(line)
        if len(kept) < len(split.lines):
            name = f'{key}_{split.name}.lst'
            tables[name] = ''.join(f'{line}\n' for line in kept)
            settings.append(f'{split.key}.ann_file={PLACE}/{name}')
    commands = [_MOVE_OUT] if unwanted - listed else []
    return {'settings': settings, 'commands': commands, 'tables': tables}


def how_taken_out(mend: dict[str, Any], what: str) -> str:
    """What the mend of :func:`take_out` does, in words."""
    if mend['settings']:
        return f'The settings use lists without {what}.'
    return f'The command moves {what} out of the data set.'
