"""Findings about labels that lie elsewhere than their images: by edges or by places of classes."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from openseg_plugin.data_checks.dataset_spec import Rules, Source, Split
from openseg_plugin.data_checks.edges import SLACK, Edges, best_of, cross_scores, edges_of
from openseg_plugin.data_checks.examine import Record
from openseg_plugin.data_checks.file_facts import StderrCapture
from openseg_plugin.data_checks.finding import Finding, several
from openseg_plugin.data_checks.fixes import moved_down_fix, moved_up_fix
from openseg_plugin.data_checks.location_priors import Verdict, judge
from openseg_plugin.datasets.label_table import ranges
from openseg_plugin.utils.pool import in_threads

_SAMPLED, _RUN = 128, 8  # pairs of a split that are compared, and how many of them in a row
_FEW = 6  # pairs below which nothing is said
# A wrong place is named where the edges fit there, and do not where they are: scores of correct
# pairs are 0.59 or more in 95 % of the cases, of labels elsewhere up to 0.35.
_FITS, _RATIO = 0.25, 2.5
_PAIR_FITS, _PAIR_DIFFERS = 0.5, 0.25
_SIGMAS = 6.0
_GROUP = 0.08  # fraction of the pairs that must be wrong in the same way


def alignment_findings(source: Source, records: Sequence[Record]) -> Iterator[Finding]:
    """Labels that were flipped, turned, moved, or belong to another image of the split."""
    del source
    for split in source_splits(records):
        own = [r for r in records if r.split is split and _is_readable(r)]
        with StderrCapture():  # damaged images have a finding of their own
            compared = list(in_threads(edges_of, _sample(own)))
        pairs = [found for found in compared if found is not None]
        pairs.sort(key=lambda pair: str(pair.record.pair.image))
        if len(pairs) < _FEW:
            continue
        finding = _elsewhere(split, pairs) or _of_others(split, pairs)
        if finding is not None:
            yield finding


def source_splits(records: Sequence[Record]) -> list[Split]:
    """The splits of some records, in order."""
    return list({id(r.split): r.split for r in records}.values())


def _is_readable(record: Record) -> bool:
    label, image = record.label or {}, record.image or {}
    return 'counts' in label and 'size' in image and len(label['counts']) > 1


def _sample(records: list[Record]) -> list[Record]:
    """Runs of neighbors, evenly spread: a label may be that of the next image."""
    if len(records) <= _SAMPLED:
        return records
    starts = np.linspace(0, len(records) - _RUN, _SAMPLED // _RUN).round().astype(int)
    return [records[start + k] for start in starts.tolist() for k in range(_RUN)]


def _elsewhere(split: Split, pairs: list[Edges]) -> Finding | None:
    whole = _mean_elsewhere(pairs)
    if whole is not None:
        return _moved(split, pairs, *whole)
    votes: Counter = Counter()
    members: dict[tuple, list[Edges]] = {}
    for pair in pairs:
        score, way, moved = pair.best()
        if score >= _PAIR_FITS and pair.own <= _PAIR_DIFFERS and _is_elsewhere(way, moved, pair):
            # movements that differ by the slack are one way to be wrong
            grid = tuple(round(m / (2 * SLACK * pair.factor)) for m in moved)
            votes[way, grid] += 1
            members.setdefault((way, grid), []).append(pair)
    if not votes:
        return None
    place, number = votes.most_common(1)[0]
    if number < max(3, _GROUP * len(pairs)):
        return None
    wrong = members[place]
    found = best_of(_means(wrong), wrong[0].factor)
    return _moved(split, wrong, float(np.mean([p.own for p in wrong])), *found, among=len(pairs))


def _means(pairs: Sequence[Edges]) -> dict[str, np.ndarray]:
    ways = set.intersection(*(set(pair.scores) for pair in pairs))
    return {way: np.mean([pair.scores[way] for pair in pairs], 0) for way in sorted(ways)}


def _mean_elsewhere(pairs: list[Edges]) -> tuple[float, float, str, tuple[int, int]] | None:
    """Score as it is, best score, way and movement, where all pairs together say it is wrong."""
    means = _means(pairs)
    factor = float(np.median([pair.factor for pair in pairs]))
    score, way, moved = best_of(means, factor)
    own = np.array([pair.own for pair in pairs])
    if score < max(_FITS, _RATIO * own.mean()) or not _is_elsewhere(way, moved, pairs[0]):
        return None
    row, column = np.unravel_index(int(means[way].argmax()), means[way].shape)
    gain = np.array([pair.scores[way][row, column] for pair in pairs]) - own
    sigmas = gain.mean() / (gain.std() / len(gain) ** 0.5 + 1e-6)
    return (float(own.mean()), score, way, moved) if sigmas >= _SIGMAS else None


def _is_elsewhere(way: str, moved: tuple[int, int], pair: Edges) -> bool:
    return way != 'as it is' or max(map(abs, moved)) > (SLACK + 1) * pair.factor


def _moved(
    split: Split,
    wrong: Sequence[Edges],
    own: float,
    score: float,
    way: str,
    moved: tuple[int, int],
    *,
    among: int = 0,
) -> Finding:
    down, right = moved
    far = max(abs(down), abs(right)) > (SLACK + 1) * wrong[0].factor
    steps = f'moved by {right} pixels to the right and {down} down' if far else ''
    how = ' and '.join(part for part in ('' if way == 'as it is' else way, steps) if part)
    number = several(len(wrong), 'label')
    return Finding(
        'labels_moved' if way == 'as it is' else 'labels_turned',
        True,
        f'labels do not lie on their images in {split.name}: {number} of {among or len(wrong)} '
        f'compared fit when {how} (the edges agree by {score:.2f} then, by {own:.2f} as they are; '
        'correct labels have 0.6 or more, labels of other images about 0.1)',
        'The network would learn every class at a wrong place of the image.',
        [pair.record.pair.label_file for pair in wrong],
        [pair.record for pair in wrong],
        advice='Look at the overlays in the report (--report DIR). Was the image or the label '
        'flipped, turned, cropped or padded without the other? Do the same to the other, or make '
        'the labels anew.',
    )


def _of_others(split: Split, pairs: list[Edges]) -> Finding | None:
    scores = cross_scores(pairs)
    own = np.diag(scores).copy()
    np.fill_diagonal(scores, -np.inf)
    best = scores.max(1)
    wrong = np.flatnonzero((best >= _PAIR_FITS) & (best >= _RATIO * np.maximum(own, 0.05)))
    if len(wrong) < max(_FEW, 0.3 * len(pairs)):
        return None
    steps = Counter((scores.argmax(1)[wrong] - wrong).tolist())
    step, number = steps.most_common(1)[0]
    neighbor = number > 0.5 * len(wrong)
    whose = f'the image {abs(step)} {"before" if step < 0 else "after"} it in the list'
    return Finding(
        'labels_of_others',
        True,
        f'labels belong to other images in {split.name}: in {len(wrong)} of '
        f'{several(len(pairs), "pair")} compared the label of '
        + (whose if neighbor else 'another image')
        + f' fits much better (its edges agree by {best[wrong].mean():.2f}, those of the own label '
        f'by {own[wrong].mean():.2f})',
        'Image and label would be cut and flipped together though they show different things: '
        'nothing could be learned.',
        [pairs[k].record.pair.label_file for k in wrong],
        [pairs[k].record for k in wrong],
        advice='Look at the overlays in the report (--report DIR). Names that sort differently in '
        'the two folders (2.png after 10.png), or files that were numbered anew, do this: pair '
        'them by what they were called before.',
    )


_WORDS = {1: 'count from one', -1: 'have been reduced (k became k - 1 and 0 became 255)'}


def place_findings(source: Source, records: Sequence[Record]) -> Iterator[Finding]:
    """Splits whose classes lie where their neighbors in the list of classes belong."""
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
        'under the name of its neighbor and the background would be ignored.',
        list(dict.fromkeys(r.pair.label_file for r in records)),
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
    values = {int(v) for r in records for v in r.label_facts['counts']}
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
        'Every class would be trained under the name of its neighbor; where no value is '
        'forbidden, the run goes on and the scores mean nothing.',
        list(dict.fromkeys(r.pair.label_file for r in records)),
        list(records),
        settings,
        commands,
        f'Look at the overlays in the report (--report DIR). {advice}',
    )
