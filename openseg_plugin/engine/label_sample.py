"""What a sample of the labels says about all of them, and what it cannot say."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from mmengine.dist import get_rank, get_world_size
from torch.utils.data import Dataset

from openseg_plugin.doctor.examine import Record
from openseg_plugin.doctor.finding import Finding
from openseg_plugin.doctor.findings import find_wrong_values
from openseg_plugin.doctor.reading import Facts, read_label_facts
from openseg_plugin.doctor.source import Pair, Source, Split
from openseg_plugin.engine.dataset_rules import loading_of, rules_of

_MASKS = 'mask_0_255'
# Findings that rest on values which do not occur, or on where classes lie: other labels of the
# same data set may hold what some of them do not.
_DOUBTFUL = frozenset({_MASKS, 'reduce_zero_label_255', 'off_by_one', 'off_by_one_down'})


class LabelSample:
    """Values of some labels of one or more data sets, and what follows from them."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self._splits: dict[int, Split] = {}
        self._seen: set[Path] = set()

    def add(self, dataset: Dataset, index: int, *, name: str = 'train') -> Facts | None:
        """Reads the label of a sample.

        Args:
            dataset: may be wrapped (concatenation, repetition).
            index: of the sample.
            name: of the split, for messages.

        Returns:
            What the label holds; None where there is none, or it was added before.
        """
        inner, own_index = innermost(dataset, index)
        if not hasattr(inner, 'get_data_info') or not hasattr(inner, 'reduce_zero_label'):
            return None
        path = inner.get_data_info(own_index).get('seg_map_path')
        if path is None or Path(path) in self._seen:
            return None
        self._seen.add(Path(path))
        if id(inner) not in self._splits:
            turns, _ = loading_of(getattr(inner.pipeline, 'transforms', ()))
            self._splits[id(inner)] = Split(name, [], rules_of(inner), turns_pictures=turns)
        split, pair = self._splits[id(inner)], Pair(None, Path(path))
        split.pairs.append(pair)
        facts = read_label_facts(pair.label)
        self.records.append(Record(split, pair, None, facts))
        return facts

    def findings(self) -> list[Finding]:
        """What would stop a training if these were all labels."""
        found = find_wrong_values(Source('sample', list(self._splits.values())), self.records)
        return [finding for finding in found if finding.stops]

    @property
    def holds_masks(self) -> bool | None:
        """Whether 0 and 255 (ignored) are all that was seen; None without any label."""
        if not self.records:
            return None
        return any(finding.key == _MASKS for finding in self.findings())

    def read_rest(self, datasets: Sequence[Dataset], until: float) -> bool:
        """Reads this process's share of all labels while they hold 0 and 255 alone.

        Args:
            datasets: whose labels are read, from one end of the list to the other.
            until: value of ``time.monotonic()`` at which to give up.

        Returns:
            Every label of the share was read, and none holds another value.
        """
        for dataset, index in _shares(datasets):
            if time.monotonic() > until:
                return False
            facts = self.add(dataset, index)
            if facts is not None and not facts.get('counts', {}).keys() <= {'0', '255'}:
                return False
        return True


def is_certain(finding: Finding) -> bool:
    """Whether the labels that were not looked at cannot change what a finding says."""
    if finding.key not in _DOUBTFUL:
        return True
    return any(
        record.split.rules.train_value(int(raw)) < 0
        for record in finding.records
        for raw in (record.label or {}).get('counts') or {}
    )


def _shares(datasets: Sequence[Dataset]) -> Iterator[tuple[Dataset, int]]:
    """This process's samples in an order that comes everywhere early, the same in every run."""
    for dataset in datasets:
        order = np.random.default_rng(0).permutation(len(dataset))
        for index in order[get_rank() :: get_world_size()].tolist():
            yield dataset, index


def innermost(dataset: Dataset, index: int) -> tuple[Dataset, int]:
    """Dataset and index behind mmengine's wrappers (concatenation, repetition)."""
    while True:
        if hasattr(dataset, 'datasets'):
            number, index = dataset._get_ori_dataset_idx(index)
            dataset = dataset.datasets[number]
        elif hasattr(dataset, 'dataset'):
            if hasattr(dataset, '_get_ori_dataset_idx'):
                index = dataset._get_ori_dataset_idx(index)
            dataset = dataset.dataset
        else:
            return dataset, index
