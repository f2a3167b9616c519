"""Mends of labels whose values all moved by one."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from openseg_plugin.data_checks.dataset_spec import Rules, Source, Split
from openseg_plugin.data_checks.finding import list_value, remapping, split_settings
from openseg_plugin.data_checks.location_priors import meanings

Mend = tuple[list[str], list[str], str]  # settings, commands, words


def moved_up_mend(
    source: Source, rules: Rules, values: Iterable[int], splits: Sequence[Split]
) -> Mend:
    """What moves the values of labels that count from one down again.

    Args:
        source: the data set.
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


def moved_down_mend(source: Source, rules: Rules, splits: Sequence[Split]) -> Mend:
    """What moves the values of labels that were reduced up again."""
    if rules.reduce_zero_label and source.is_config:
        chosen = replace(source, splits=list(splits))
        settings = split_settings(chosen, 'reduce_zero_label', False)
        return settings, [], 'The labels have been reduced already, so the config must not.'
    commands, settings = remapping(source, rules, meanings(rules, -1).tolist(), splits)
    advice = 'The originals of these labels are the best mend.'
    if commands:
        advice += (
            ' The command moves all values up by one and takes 255 for class 0: right where no '
            'other pixels were ignored.'
        )
    return settings, commands, advice
