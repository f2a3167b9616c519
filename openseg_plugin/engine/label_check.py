"""The quick part of the label doctor: a sample of both splits before the first step of a training.

``tools/check_dataset.py`` is the whole of it.
"""

import time
from collections.abc import Iterator
from pathlib import Path

from mmengine.dist import all_gather_object, get_rank, get_world_size
from mmengine.hooks import Hook
from torch import nn
from torch.utils.data import Dataset

from openseg_plugin.doctor.examine import examine
from openseg_plugin.doctor.finding import Finding
from openseg_plugin.doctor.findings import find_wrong_values
from openseg_plugin.doctor.source import Pair, Source, Split
from openseg_plugin.engine.dataset_rules import loading_of, rules_of
from openseg_plugin.engine.random_state import kept_random_state
from openseg_plugin.errors import ConfigError, DataError
from openseg_plugin.registry import HOOKS


@HOOKS.register_module()
class LabelCheckHook(Hook):
    """Loads pictures and labels of some samples, evenly spread over the train and the val split.

    Finds before training: files that are missing or broken, a label whose size is not its
    picture's, label values outside the classes (file, value and number of pixels), labels that
    mean something else (0/255 masks, colours, raw ids, counting from one), and a head whose number
    of classes is not the dataset's.

    Args:
        samples: number of samples per split, shared by the processes; 0 checks the heads only.
        seconds: no further sample is looked at after so long.
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
        loaders = [runner.train_dataloader]
        if runner.val_loop is not None:
            loaders.append(runner.val_dataloader)
        command = f'python tools/check_dataset.py {runner.cfg.filename or "CONFIG"}'
        started = time.monotonic()
        looked_at = 0
        for number, loader in enumerate(loaders, start=1):
            check_heads(model, loader.dataset)
            until = started + self.seconds * number / len(loaders)
            problem = None
            try:
                with kept_random_state():
                    checked = self._load_some(loader.dataset, until)
                looked_at += len(checked)
                wrong = sample_finding(loader.dataset, checked)
                if wrong is not None:
                    problem = f'{wrong.title} (of {len(checked)} looked at). {wrong.meaning}'
                    problem += f' "{command}" says what mends it'
            except DataError as error:
                problem = str(error)
            found = [text for text in all_gather_object(problem) if text is not None]
            if found:
                raise DataError(found[0])
        runner.logger.info(
            f'label check: {sum(all_gather_object(looked_at))} samples of '
            f'{sum(len(loader.dataset) for loader in loaders)} looked at in '
            f'{time.monotonic() - started:.1f} s, all in order; all of them: {command}'
        )

    def _load_some(self, dataset: Dataset, until: float) -> list[int]:
        """Loads this process's share of the sample; returns the indices."""
        number = min(self.samples, len(dataset))
        done = []
        for k in range(get_rank(), number, get_world_size()):
            if done and time.monotonic() > until:
                break
            done.append(k * len(dataset) // number)
            load_sample(dataset, done[-1])
        return done


def sample_finding(dataset: Dataset, indices: list[int]) -> Finding | None:
    """The first finding about the label values of some samples that stops a training, or None."""
    splits: dict[int, Split] = {}
    for index in indices:
        inner, own_index = _innermost(dataset, index)
        if not hasattr(inner, 'get_data_info') or not hasattr(inner, 'reduce_zero_label'):
            continue
        info = inner.get_data_info(own_index)
        if info.get('seg_map_path') is None:
            continue
        if id(inner) not in splits:
            turns, _ = loading_of(getattr(inner.pipeline, 'transforms', ()))
            splits[id(inner)] = Split('train', [], rules_of(inner), turns_pictures=turns)
        splits[id(inner)].pairs.append(Pair(None, Path(info['seg_map_path'])))
    source = Source('sample', list(splits.values()))
    # One thread: data loaders fork processes right after this.
    found = find_wrong_values(source, examine(source, workers=1))
    return next((finding for finding in found if finding.stops), None)


def load_sample(dataset: Dataset, index: int) -> dict:
    """Picture and label of one sample as they are stored: the loading transforms alone.

    Raises:
        DataError: the sample cannot be loaded, or the label does not fit the picture.
    """
    dataset, index = _innermost(dataset, index)
    if not hasattr(dataset, 'get_data_info'):
        return {}
    results = dataset.get_data_info(index)
    for transform in getattr(dataset.pipeline, 'transforms', ()):
        # labels of some sets are smaller than their pictures, which are shrunk in between
        loads = type(transform).__name__.startswith('Load')
        if not loads and not getattr(transform, 'as_original', False):
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
    picture, label = results.get('img'), results.get('gt_seg_map')
    if picture is None or label is None or picture.shape[:2] == label.shape[:2]:
        return
    raise DataError(
        f'label file {results.get("seg_map_path")} is {label.shape[1]}x{label.shape[0]} pixels but '
        f'its picture {results.get("img_path")} is {picture.shape[1]}x{picture.shape[0]}: both '
        'must have one size'
    )


def _innermost(dataset: Dataset, index: int) -> tuple[Dataset, int]:
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


def check_heads(model: nn.Module, dataset: Dataset) -> None:
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
        parts = head if isinstance(head, nn.ModuleList) else [head]
        for part in parts:
            if hasattr(part, 'num_classes'):
                yield name, part
