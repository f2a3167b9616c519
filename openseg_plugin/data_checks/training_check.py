"""The quick part of the data check: a sample of both splits before the first iteration.

``openseg check-dataset`` is the whole of it.

What a sample of the labels says about all of them, and what it cannot say.
"""

import shlex
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.dist import all_gather_object, get_rank, get_world_size
from mmengine.hooks import Hook
from torch import nn

from openseg_plugin.config.queries import loads_sample
from openseg_plugin.data_checks.config_adapter import loading_of, rules_of
from openseg_plugin.data_checks.dataset_spec import Pair, Source, Split
from openseg_plugin.data_checks.examine import Record
from openseg_plugin.data_checks.file_facts import Facts, read_label_facts
from openseg_plugin.data_checks.finding import Finding
from openseg_plugin.data_checks.rules import find_wrong_values
from openseg_plugin.errors import ConfigError, DataError
from openseg_plugin.registry import HOOKS
from openseg_plugin.utils.random_state import preserve_rng_state

_MASKS = 'mask_0_255'
# Findings that rest on values which do not occur, or on where classes lie: other labels of the
# same dataset may hold what some of them do not.
_DOUBTFUL = frozenset({_MASKS, 'reduce_zero_label_255', 'off_by_one', 'off_by_one_down'})


class LabelSample:
    """Values of some labels of one or more datasets, and what follows from them."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self._splits: dict[int, Split] = {}
        self._seen: set[Path] = set()

    def add(self, dataset: BaseDataset, index: int, *, name: str = 'train') -> Facts | None:
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
            self._splits[id(inner)] = Split(name, [], rules_of(inner), turns_images=turns)
        split, pair = self._splits[id(inner)], Pair(None, Path(path))
        split.pairs.append(pair)
        facts = read_label_facts(pair.label_file)
        self.records.append(Record(split, pair, None, facts))
        return facts

    def findings(self) -> list[Finding]:
        """What would stop a training if these were all labels."""
        found = find_wrong_values(Source('sample', list(self._splits.values())), self.records)
        return [finding for finding in found if finding.is_blocking]

    @property
    def holds_masks(self) -> bool | None:
        """Whether 0 and 255 (ignored) are all that was seen; None without any label."""
        if not self.records:
            return None
        return any(finding.key == _MASKS for finding in self.findings())

    def read_rest(self, datasets: Sequence[BaseDataset], until: float) -> bool:
        """Reads this process's fraction of all labels while they hold 0 and 255 alone.

        Args:
            datasets: whose labels are read, from one end of the list to the other.
            until: value of ``time.monotonic()`` at which to give up.

        Returns:
            Every label of the fraction was read, and none holds another value.
        """
        for dataset, index in _own_samples(datasets):
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


def _own_samples(datasets: Sequence[BaseDataset]) -> Iterator[tuple[BaseDataset, int]]:
    """This process's samples in an order that comes everywhere early, the same in every run."""
    for dataset in datasets:
        order = np.random.default_rng(0).permutation(len(dataset))
        for index in order[get_rank() :: get_world_size()].tolist():
            yield dataset, index


def innermost(dataset: BaseDataset, index: int) -> tuple[BaseDataset, int]:
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


# Where 0 and 255 are all that a sample shows, every label is read for so many seconds more: such
# masks teach nothing, and only all of them together tell that the object is nowhere.
_LONGER = 20.0


@HOOKS.register_module()
class LabelCheckHook(Hook):
    """Loads images and labels of some samples, evenly spread over the train and the val split.

    Finds before training: files that are missing or broken, a label whose size is not its
    image's, label values outside the classes (file, value and number of pixels), labels that
    mean something else (0/255 masks, colors, raw ids, counting from one), and a head whose number
    of classes is not the dataset's. What rests on values that the sample does not show, or on
    where classes lie, is a warning: the labels that were not looked at may differ.

    Args:
        samples: number of samples per split, shared by the processes; 0 checks the heads only.
        seconds: the splits share them; apart from the first of a split no sample is looked at
            that would end later, by the time that the last one took.
    """

    def __init__(self, samples: int = 16, *, seconds: float = 3.0) -> None:
        self.samples = samples
        self.seconds = seconds

    def before_train(self, runner) -> None:
        """Checks both splits.

        Raises:
            DataError: the first thing wrong with a file; the same on every process.
            ConfigError: the head and the dataset differ in their classes.
        """
        model = getattr(runner.model, 'module', runner.model)
        datasets = [runner.train_dataloader.dataset]
        if runner.val_loop is not None:
            datasets.append(runner.val_dataloader.dataset)
        for dataset in datasets:
            check_heads(model, dataset)
        command = f'openseg check-dataset {shlex.quote(runner.cfg.filename or "CONFIG")}'
        started = time.monotonic()
        sample = LabelSample()
        looked_at = 0
        for number, dataset in enumerate(datasets, start=1):
            until = started + self.seconds * number / len(datasets)
            problem = None
            try:
                with preserve_rng_state():
                    looked_at += len(self._load_some(dataset, until, sample, is_train=number == 1))
                wrong = next(filter(is_certain, sample.findings()), None)
                problem = None if wrong is None else _text(wrong, sample, command)
            except DataError as error:
                problem = str(error)
            _raise_first(problem)
        doubts = _doubts(sample, datasets, command)
        looked_at = sum(all_gather_object(looked_at))
        if doubts:
            runner.logger.warning(f'label check: the training goes on, but look: {doubts[0]}')
        runner.logger.info(
            f'label check: {looked_at} samples of {sum(map(len, datasets))} looked at in '
            f'{time.monotonic() - started:.1f} s, {"see the warning" if doubts else "all in order"}'
            f'; all of them: {command}'
        )

    def _load_some(
        self, dataset: BaseDataset, until: float, sample: LabelSample, *, is_train: bool = True
    ) -> list[int]:
        """Loads this process's fraction of the sample; returns the indices."""
        number = min(self.samples, len(dataset))
        done: list[int] = []
        lasted = 0.0
        for k in range(get_rank(), number, get_world_size()):
            began = time.monotonic()
            if done and began + lasted > until:
                break
            done.append(k * len(dataset) // number)
            load_sample(dataset, done[-1])
            sample.add(dataset, done[-1], name='train' if is_train else 'val')
            lasted = time.monotonic() - began
        return done


def _text(finding: Finding, sample: LabelSample, command: str) -> str:
    return (
        f'{finding.title} (of {len(sample.records)} looked at). {finding.meaning} "{command}" says '
        'what fixes it'
    )


def _raise_first(problem: str | None) -> None:
    """Stops every process if one of them has a problem."""
    found = [text for text in all_gather_object(problem) if text is not None]
    if found:
        raise DataError(found[0])


def _doubts(sample: LabelSample, datasets: Sequence[BaseDataset], command: str) -> list[str]:
    """What the sample cannot decide, after a look at all labels where they seem to be masks.

    Raises:
        DataError: all labels hold 0 and 255 alone.
    """
    masks = [found for found in all_gather_object(sample.holds_masks) if found is not None]
    if masks and all(masks):
        is_sure = all(all_gather_object(sample.read_rest(datasets, time.monotonic() + _LONGER)))
        wrong = next((f for f in sample.findings() if f.key == 'mask_0_255'), None)
        _raise_first(_text(wrong, sample, command) if is_sure and wrong is not None else None)
        own = sample.findings()
    else:  # another process saw a class
        own = [finding for finding in sample.findings() if finding.key != 'mask_0_255']
    return [
        text
        for texts in all_gather_object([_text(finding, sample, command) for finding in own])
        for text in texts
    ]


def load_sample(dataset: BaseDataset, index: int) -> dict:
    """Image and label of one sample as they are stored: the loading transforms alone.

    Raises:
        DataError: the sample cannot be loaded, or the label does not fit the image.
    """
    dataset, index = innermost(dataset, index)
    if not hasattr(dataset, 'get_data_info'):
        return {}
    results = dataset.get_data_info(index)
    for transform in getattr(dataset.pipeline, 'transforms', ()):
        # labels of some sets are smaller than their images, which are shrunk in between
        if not loads_sample(transform) and not getattr(transform, 'as_original', False):
            continue
        try:
            results = transform(results)
        except DataError:
            raise
        except Exception as error:  # whatever a decoder does with a broken file
            files = ' or '.join(
                str(results[key]) for key in ('img_path', 'seg_map_path') if key in results
            )
            raise DataError(
                f'{files} cannot be loaded ({type(error).__name__}: {error}): replace the broken '
                'file, or take it out of the split'
            ) from error
    _check_size(results)
    return results


def _check_size(results: dict) -> None:
    image, label = results.get('img'), results.get('gt_seg_map')
    if image is None or label is None or image.shape[:2] == label.shape[:2]:
        return
    raise DataError(
        f'label file {results.get("seg_map_path")} is {label.shape[1]}x{label.shape[0]} pixels but '
        f'its image {results.get("img_path")} is {image.shape[1]}x{image.shape[0]}: both '
        'must have one size'
    )


def check_heads(model: nn.Module, dataset: BaseDataset) -> None:
    """Compares the classes of decode and auxiliary heads with those of the dataset.

    Raises:
        ConfigError: they differ.
    """
    classes = (getattr(dataset, 'metainfo', None) or {}).get('classes')
    if not classes:
        return
    for name, head in _heads(model):
        if head.num_classes != len(classes):
            raise ConfigError(
                f'model.{name} has {head.num_classes} classes but {type(dataset).__name__} has '
                f'{len(classes)}: set model.{name}.num_classes={len(classes)}'
            )


def _heads(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name in ('decode_head', 'auxiliary_head'):
        head = getattr(model, name, None)
        for part in head if isinstance(head, nn.ModuleList) else [head]:
            if isinstance(part, nn.Module) and hasattr(part, 'num_classes'):
                yield name, part
