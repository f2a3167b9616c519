"""All findings about a source, those that stop training first."""

from collections.abc import Sequence

from openseg_plugin.data_checks.dataset_spec import Source
from openseg_plugin.data_checks.examine import Record, groups
from openseg_plugin.data_checks.finding import Finding
from openseg_plugin.data_checks.rules.alignment import alignment_findings, place_findings
from openseg_plugin.data_checks.rules.class_counts import class_findings
from openseg_plugin.data_checks.rules.class_order import order_findings
from openseg_plugin.data_checks.rules.color_labels import color_findings
from openseg_plugin.data_checks.rules.files import file_findings
from openseg_plugin.data_checks.rules.off_by_one import shifted_splits
from openseg_plugin.data_checks.rules.smoothed import is_soft, mixed, mixed_findings
from openseg_plugin.data_checks.rules.values import value_findings


def find_all(source: Source, records: Sequence[Record]) -> list[Finding]:
    """Everything that is wrong, most important first."""
    found = _wrong_numbers(source, records, all_labels=True)
    found += alignment_findings(source, records)
    if any(finding.is_blocking or 'off_by_one' in finding.key for finding in found):
        # Values that mean something else make classes look absent: one cause, one finding.
        by_class = [f for f in class_findings(source, records) if f.is_blocking]
    else:
        by_class = list(class_findings(source, records))
    found += [*by_class, *file_findings(source, records)]
    return sorted(found, key=lambda finding: not finding.is_blocking)


def find_wrong_values(source: Source, records: Sequence[Record]) -> list[Finding]:
    """What is wrong with the values in labels; some of the labels are enough to tell."""
    return _wrong_numbers(source, records, all_labels=False)


def _wrong_numbers(source: Source, records: Sequence[Record], *, all_labels: bool) -> list[Finding]:
    """What the numbers mean instead, by the likeliest explanation: each label has only one."""
    found = list(color_findings(source, records))
    rest = _without(records, found)
    numbers = [r for r in rest if r.label and 'counts' in r.label]
    soft = [g for g in groups(numbers) if is_soft(g)]
    mixed_up = mixed([r for r in numbers if not any(r in g.records for g in soft)])
    found += mixed_findings(source, mixed_up)
    rest = [record for record in rest if record not in mixed_up]
    by_place = list(place_findings(source, rest))
    found += by_place
    rest = _without(rest, _moved(by_place))
    if all_labels:
        by_split = list(shifted_splits(source, rest))
        found += by_split
        rest = _without(rest, by_split)
    for group in groups(rest):
        found += value_findings(source, group)
    if all_labels and not any(finding.is_blocking for finding in found):
        found += order_findings(source, rest)
    return found


def _moved(findings: Sequence[Finding]) -> list[Finding]:
    """The findings that say what the values mean instead; others are only a doubt."""
    return [finding for finding in findings if 'off_by_one' in finding.key]


def _without(records: Sequence[Record], findings: Sequence[Finding]) -> list[Record]:
    """The pairs that the findings do not explain."""
    concerned = {path for finding in findings for path in finding.files}
    return [record for record in records if record.pair.label not in concerned]


def may_start(findings: Sequence[Finding]) -> bool:
    """Whether a training may start."""
    return not any(finding.is_blocking for finding in findings)
