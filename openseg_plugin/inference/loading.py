"""``openseg_plugin.load(...)``: from a model's name to something that predicts."""

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from openseg_plugin.errors import ConfigError
from openseg_plugin.inference.models import (
    Resolved,
    build,
    dataset_meta,
    resolve,
    test_datasets,
    usable_device,
    what_predicts,
)
from openseg_plugin.inference.segmenter import Segmenter
from openseg_plugin.inference.views import set_views
from openseg_plugin.models.prepared import Preparation, prepare
from openseg_plugin.registry import MODELS


def load(
    model: str | os.PathLike[str],
    checkpoint: str | os.PathLike[str] | None = None,
    *,
    device: str | torch.device | None = None,
    aug_test: bool = False,
    scales: Sequence[float] | None = None,
    flip: bool | None = None,
    segfix: Mapping[str, Any] | None = None,
    tile: str | tuple[int, int] = 'auto',
    overlap: int | None = None,
    ignore_exif: bool = False,
    exact: bool = False,
    precision: str = 'fp32',
    compiled: bool = False,
    cfg_options: dict[str, Any] | None = None,
) -> Segmenter:
    """A model that predicts.

    Args:
        model: a checkpoint with its config inside, a published file, a name of the model zoo, a
            file or folder made by ``openseg export``, a folder for a hub, ``hf://user/name``, or,
            with ``checkpoint``, a config.
        checkpoint: weights for the config.
        device: such as 'cuda' or 'cpu'; None: the GPU where there is one.
        aug_test: predict multi-scale, flipped, as the config says.
        scales: of ``aug_test``.
        flip: flipped views in ``aug_test``; None: as the config says.
        segfix: refine the labels: ``dict(offsets=...)`` or ``dict(network=dict(config=...,
            checkpoint=...))``, and ``scale``.
        tile: 'auto' cuts images that do not fit into memory, 'off' never, (rows, columns) or
            '1024x1024' all larger ones.
        overlap: pixels that tiles share; None: an eighth of a tile.
        ignore_exif: leave images and videos as they are stored.
        exact: run the network operation by operation as it was trained; by default its rounding
            differs, see :mod:`openseg_plugin.models.prepared`.
        precision: what the network computes in: 'fp32', 'bf16' or 'fp16'.
        compiled: compile the network, which takes minutes for every size of image.
        cfg_options: dotted settings to change in the config.

    Raises:
        CheckpointError: there is no such model, or its weights do not fit.
        ConfigError: an option does not fit.
    """
    if not aug_test and (scales is not None or flip is not None):
        raise ConfigError('scales and flip belong to aug_test: add it or leave them out')
    model, checkpoint = os.fspath(model), None if checkpoint is None else os.fspath(checkpoint)
    where = usable_device(device)
    how = Preparation(exact, precision, compiled)
    how.check(where)
    resolved = resolve(model, checkpoint, options=cfg_options)
    settings = what_predicts(resolved)  # before building completes the config
    network = prepare(build(resolved, device=where), how)
    predictor, pipeline = network, _datasets(resolved.cfg, resolved.name)[0]['pipeline']
    if aug_test:
        predictor, pipeline = _augmented(network, resolved, scales=scales, flip=flip)
    return Segmenter(
        predictor.to(where).eval(),
        pipeline,
        **dataset_meta(resolved, _num_classes(network)),
        refine=None if segfix is None else _refiner(segfix),
        tile=tile,
        overlap=overlap,
        ignore_exif=ignore_exif,
        weights=resolved.name,
        settings=settings,
    )


def _datasets(cfg: Any, name: str) -> list[Any]:
    datasets = test_datasets(cfg)
    if not datasets:
        raise ConfigError(f'the config of {name} has no test pipeline: it cannot predict')
    return datasets


def _num_classes(network: nn.Module) -> int:
    head: Any = network.decode_head
    last: Any = head[-1] if isinstance(head, nn.ModuleList) else head
    return last.num_classes


def _augmented(
    network: nn.Module,
    resolved: Resolved,
    *,
    scales: Sequence[float] | None,
    flip: bool | None,
) -> tuple[nn.Module, Sequence[Mapping[str, Any]]]:
    """The network wrapped for test-time augmentation as its config says, and its pipeline."""
    cfg = copy.deepcopy(resolved.cfg)
    datasets = _datasets(cfg, resolved.name)
    set_views(cfg, datasets, scales=scales, flip=flip)
    wrapper = {key: value for key, value in cfg.model.items() if key != 'module'}
    return MODELS.build(dict(wrapper, module=network)), datasets[0]['pipeline']


def _refiner(segfix: Mapping[str, Any]) -> Callable[[Any], None]:
    from openseg_plugin.segfix.evaluator import SegFixEvaluator

    return SegFixEvaluator(metrics=[], before=[], **segfix).refine
