"""Findings about labels that are off by one though every value may be allowed."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from openseg_plugin.data_checks.dataset_spec import Rules, Source, Split
from openseg_plugin.data_checks.examine import Record
from openseg_plugin.data_checks.finding import Finding
from openseg_plugin.data_checks.fixes import moved_down_fix, moved_up_fix
from openseg_plugin.data_checks.location_priors import Verdict, judge
from openseg_plugin.datasets.label_table import ranges

_WORDS = {1: 'count from one', -1: 'have been reduced (k became k - 1 and 0 became 255)'}


def place_findings(source: Source, records: Sequence[Record]) -> Iterator[Finding]:
    """Splits whose classes lie where their neighbours in the list of classes belong."""
    found: dict[tuple[Rules, int], list[tuple[Split, Verdict]]] = defaultdict(list)
    for split in source.splits:
        own = _labelled(records, split)
        verdict = judge(split.rules, own)
        if verdict.shift:
            found[split.rules, verdict.shift].append((split, verdict))
    for (rules, shift), judged in found.items():
        splits = [split for split, _ in judged]
        concerned = [r for split in splits for r in _labelled(records, split)]
        clearest = max((verdict for _, verdict in judged), key=lambda v: v.moved - v.as_is)
        certain = any(verdict.certain for _, verdict in judged)
        if shift < 0 and not rules.reduce_zero_label and all(v.border_only for _, v in judged):
            yield _ignored_border(splits, concerned, clearest)
            continue
        yield _misplaced(source, rules, splits, concerned, clearest, certain=certain, shift=shift)


def _labelled(records: Sequence[Record], split: Split) -> list[Record]:
    return [r for r in records if r.split is split and r.label and r.label.get('counts')]


def _ignored_border(
    splits: Sequence[Split], records: Sequence[Record], verdict: Verdict
) -> Finding:
    """255 lies where the background belongs: for a good reason, or because labels were reduced."""
    return Finding(
        'ignored_border',
        False,
        f'255 (ignored) takes the border of {_and(splits)}, where the class background is '
        f'expected: it does so in {100 * verdict.moved:.0f} % of the labels',
        'Right for round or dark borders that nobody labels (fisheye lenses, vignettes). But if '
        'the labels were reduced (k became k - 1 and 0 became 255), every class would be trained '
        'under the name of its neighbour and the background would be ignored.',
        list(dict.fromkeys(r.pair.label for r in records)),
        list(records),
        advice='Look at the overlays in the report (--report DIR). If the names fit, nothing is to '
        'be done; if not, make the labels anew from their originals.',
    )


def _and(splits: Sequence[Split]) -> str:
    names = [split.name for split in splits]
    return ' and '.join([', '.join(names[:-1]), names[-1]] if names[1:] else names)


def _misplaced(
    source: Source,
    rules: Rules,
    splits: Sequence[Split],
    records: Sequence[Record],
    verdict: Verdict,
    *,
    certain: bool,
    shift: int,
) -> Finding:
    values = {int(v) for r in records for v in r.label['counts']}
    outside = any(rules.train_value(v) < 0 for v in values)
    if shift > 0:
        settings, commands, advice = moved_up_fix(source, rules, values, splits)
    else:
        settings, commands, advice = moved_down_fix(source, rules, splits, records)
    return Finding(
        'off_by_one' if shift > 0 else 'off_by_one_down',
        certain or outside,
        f'off by one: the labels of {_and(splits)} hold {ranges(sorted(values))} and seem to '
        f'{_WORDS[shift]}; classes such as sky, road or background lie where they belong in '
        f'{100 * verdict.as_is:.0f} % of the labels, moved {"down" if shift > 0 else "up"} by one '
        f'in {100 * verdict.moved:.0f} %',
        'Every class would be trained under the name of its neighbour; where no value is '
        'forbidden, the run goes on and the scores mean nothing.',
        list(dict.fromkeys(r.pair.label for r in records)),
        list(records),
        settings,
        commands,
        f'Look at the overlays in the report (--report DIR). {advice}',
    )
