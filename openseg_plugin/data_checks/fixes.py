"""Fixes of labels whose values all moved by one.

Fixes that take images with their labels out of a dataset.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from openseg_plugin.data_checks.dataset_spec import Rules, Source, Split
from openseg_plugin.data_checks.finding import (
    FILE_LIST,
    PLACE,
    list_value,
    remapping,
    split_settings,
)
from openseg_plugin.data_checks.location_priors import meanings

Fix = tuple[list[str], list[str], str]  # settings, commands, words


def moved_up_fix(
    source: Source, rules: Rules, values: Iterable[int], splits: Sequence[Split]
) -> Fix:
    """What moves the values of labels that count from one down again.

    Args:
        source: the dataset.
        rules: of the splits.
        values: raw values that occur.
        splits: whose labels moved.
    """
    if source.is_config and not (rules.label_map or rules.reduce_zero_label):
        chosen = replace(source, splits=list(splits))
        settings = split_settings(chosen, 'reduce_zero_label', True)
        if source.own_classes and rules.void_ids:
            void = list_value([v + 1 for v in rules.void_ids if v + 1 in values])
            settings += split_settings(chosen, 'metainfo.void_ids', void)
        return settings, [], 'reduce_zero_label moves all values down by one.'
    commands, settings = remapping(source, rules, meanings(rules, 1).tolist(), splits)
    return settings, commands, 'The command moves all values down by one.' if commands else ''


def moved_down_fix(source: Source, rules: Rules, splits: Sequence[Split]) -> Fix:
    """What moves the values of labels that were reduced up again."""
    if rules.reduce_zero_label and source.is_config:
        chosen = replace(source, splits=list(splits))
        settings = split_settings(chosen, 'reduce_zero_label', False)
        return settings, [], 'The labels have been reduced already, so the config must not.'
    commands, settings = remapping(source, rules, meanings(rules, -1).tolist(), splits)
    advice = 'The originals of these labels are the best fix.'
    if commands:
        advice += (
            ' The command moves all values up by one and takes 255 for class 0: right where no '
            'other pixels were ignored.'
        )
    return settings, commands, advice


# Moves the files of a list out of the dataset; files of one name get numbers.
_MOVE_OUT = f"mkdir -p unused && xargs -d '\\n' -a {FILE_LIST} mv --backup=numbered -t unused --"


def exclude(source: Source, key: str, files: Sequence[Path]) -> dict[str, Any]:
    """Arguments of a finding: commands, settings and tables that take its files out.

    Where a list file names the images of a split, a shorter list is written into the report
    and nothing is moved; elsewhere the files are moved away.

    Args:
        source: the dataset.
        key: of the finding.
        files: images or labels; a list loses the lines that name one of them.
    """
    settings, tables, listed = [], {}, set()
    unwanted = set(files)
    for split in source.splits:
        if not split.lines:
            continue
        kept = []
        for pair, line in zip(split.pairs, split.lines):
            listed.update(p for p in (pair.image, pair.label) if p in unwanted)
            if pair.image not in unwanted and pair.label not in unwanted:
                kept.append(line)
        if len(kept) < len(split.lines):
            name = f'{key}_{split.name}.lst'
            tables[name] = ''.join(f'{line}\n' for line in kept)
            settings.append(f'{split.key}.ann_file={PLACE}/{name}')
    commands = [_MOVE_OUT] if unwanted - listed else []
    return {'settings': settings, 'commands': commands, 'tables': tables}


def how_excluded(fix: dict[str, Any], what: str) -> str:
    """What the fix of :func:`exclude` does, in words."""
    if fix['settings']:
        return f'The settings use lists without {what}.'
    return f'The command moves {what} out of the dataset.'
