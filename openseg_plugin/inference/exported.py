"""Models on their way to an exported file, and the files that ``--backend`` of the tools runs."""

import contextlib
import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from mmengine.model import revert_sync_batchnorm

from openseg_plugin import __version__
from openseg_plugin.config.queries import is_model, loads_sample, without_labels
from openseg_plugin.converters.checkpoints.stored_config import as_data
from openseg_plugin.errors import ConfigError, DataError
from openseg_plugin.export import targets
from openseg_plugin.export.graph import GraphOptions
from openseg_plugin.export.job import ExportJob, ModelToExport, export_model
from openseg_plugin.export.metadata import sha256
from openseg_plugin.export.session import exported_file
from openseg_plugin.inference.models import (
    NEEDED,
    Resolved,
    build,
    cache_folder,
    dataset_meta,
    resolve,
    test_datasets,
)
from openseg_plugin.inference.segmenter import resizes
from openseg_plugin.models.segmentors import HierarchicalMultiScaleSegmentor
from openseg_plugin.utils.files import alone, target_errors

BACKENDS = {'onnxruntime': '.onnx', 'openvino': '.xml'}
_CHECKED = 2  # images of the test set that a file for a backend is compared on, beside small ones


def model_to_export(
    model: str,
    checkpoint: str | None,
    *,
    options: dict[str, Any] | None = None,
    scales: Sequence[float] | None = None,
) -> ModelToExport:
    """The model with its weights, and what the metadata say of it.

    Args:
        model: MODEL, or a config.
        checkpoint: of the config.
        options: dotted settings to change in the config.
        scales: of a network that fuses them itself; None: its own.

    Raises:
        UserError: no model is found, or its weights do not fit.
    """
    resolved = resolve(model, checkpoint, options=options, whole_config=True)
    if scales is not None and is_model(resolved.cfg.model, HierarchicalMultiScaleSegmentor):
        resolved.cfg.model.scales = tuple(scales)
    config = as_data(resolved.cfg.to_dict())
    built = revert_sync_batchnorm(build(resolved, device=torch.device('cpu'))).eval()
    head: Any = built.decode_head
    head = head[-1] if isinstance(head, torch.nn.ModuleList) else head
    meta = dataset_meta(resolved, head.num_classes)
    weights = Path(resolved.name)
    return ModelToExport(
        built,
        classes=meta['classes'],
        palette=meta['palette'],
        config=config,
        checkpoint=weights if weights.is_file() else None,
        flip_pairs=meta['flip_pairs'],
        loading=_loading(resolved),
    )


def _loading(resolved: Resolved) -> dict[str, Any] | None:
    """Config of the step of the test pipeline that loads an image; None: there is none."""
    for dataset in test_datasets(resolved.cfg):
        for step in without_labels(dataset['pipeline']):
            if loads_sample(step):
                return dict(step)
    return None


def for_backend(
    backend: str,
    model: str,
    checkpoint: str | None,
    *,
    precision: str = 'fp32',
    options: dict[str, Any] | None = None,
    needs_logits: bool = True,
) -> Path:
    """The file that ``--backend`` of other tools runs, exported and checked the first time.

    It is kept in ``$OPENSEG_CACHE/exported`` under a name that follows from weights, network,
    classes, pipeline and version. Without ``checkpoint`` the file gives the tools its whole config,
    which counts as well.

    Args:
        backend: 'onnxruntime' or 'openvino'.
        model: MODEL, or a config.
        checkpoint: of the config.
        precision: 'fp32', with OpenVINO also 'bf16'.
        options: dotted settings to change in the config.
        needs_logits: False: labels suffice where the pipeline does not resize, which is faster.

    Raises:
        ConfigError: the backend does not have this precision, or the model is an exported file.
        UserError: as ``openseg export``.
    """
    if exported_file(model) is not None:
        raise ConfigError(f'{model} is an exported file, which names its backend: leave it out')
    suffix = BACKENDS[backend]
    if precision not in targets.PRECISIONS[suffix]:
        raise ConfigError(
            f'--precision {precision} is not supported with --backend {backend}: leave one out'
        )
    targets.require(backend)
    resolved = resolve(model, checkpoint, options=options, whole_config=True)
    folder = cache_folder() / 'exported'
    with target_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    is_resized = any(resizes(one['pipeline']) for one in test_datasets(resolved.cfg))
    output = 'logits' if needs_logits or is_resized else 'labels'
    needed = resolved.cfg.to_dict() if checkpoint is None else _of_network(resolved)
    out = folder / f'{_fingerprint(resolved, needed, precision, output)}{suffix}'
    with alone(folder):  # of the processes of one run, one exports
        if not out.exists():
            with contextlib.redirect_stdout(sys.stderr):  # results alone go to standard output
                source = model_to_export(model, checkpoint, options=options)
                graph = GraphOptions(output=output)
                job = ExportJob(out, graph, precision=precision, most_checked=_CHECKED)
                try:
                    export_model(source, job)
                except DataError:  # a test set that is broken is nothing to whoever predicts
                    export_model(source, replace(job, check='scenes'))
    return out


def _of_network(resolved: Resolved) -> dict[str, Any]:
    """What whoever predicts takes from a config, without where the images lie."""
    cfg = resolved.cfg
    parts = {key: cfg[key] for key in NEEDED if key in cfg and key != 'test_dataloader'}
    keys = ('type', 'metainfo', 'pipeline')
    datasets = [{key: one[key] for key in keys if key in one} for one in test_datasets(cfg)]
    return dict(parts, datasets=datasets)


def _fingerprint(resolved: Resolved, config_parts: dict[str, Any], *options: str) -> str:
    weights = Path(resolved.name)
    config = json.dumps(as_data(config_parts), sort_keys=True)
    # of a folder for a hub all files
    files = [weights] if weights.is_file() else sorted(weights.glob('*'))
    digests = [sha256(file) for file in files if file.is_file()]
    text = '\n'.join((*digests, config, *options, __version__))
    return hashlib.sha256(text.encode()).hexdigest()[:24]
