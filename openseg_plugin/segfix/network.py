"""A trained SegFix network that gives the offsets of image files, one by one or a folder.

H, W: size of an image in pixels.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from mmengine.runner import load_checkpoint

from openseg_plugin.config.loading import load_config
from openseg_plugin.config.queries import is_model, without_labels
from openseg_plugin.errors import CheckpointError, ConfigError, DataError
from openseg_plugin.layers.direction_field import direction_to_offset
from openseg_plugin.models.prepared import Preparation, prepare
from openseg_plugin.registry import MODELS, TRANSFORMS
from openseg_plugin.segfix.offset_files import offset_bytes
from openseg_plugin.segfix.segmentor import SegFix
from openseg_plugin.segfix.sources import files_below
from openseg_plugin.utils.batch import Output, raise_failures, refuse_input
from openseg_plugin.utils.files import IMAGE_ENDINGS
from openseg_plugin.utils.progress import Progress


class OffsetNetwork:
    """Network, weights and test pipeline of a SegFix config.

    Args:
        config: path of the config.
        checkpoint: weights, also openseg's published ones.
        options: dotted settings to change in the config.
        exact: with the roundings of the training, see :mod:`openseg_plugin.models.prepared`.

    Raises:
        ConfigError: the config is none of a SegFix network.
        CheckpointError: the weights cannot be read or do not fit.
    """

    def __init__(
        self,
        config: str,
        checkpoint: str,
        *,
        options: dict[str, Any] | None = None,
        exact: bool = False,
    ) -> None:
        cfg = load_config(config, options=options)
        if not is_model(cfg.get('model') or {}, SegFix):
            kind = (cfg.get('model') or {}).get('type')
            raise ConfigError(
                f'config {config} has a model of type {kind}: give one of configs/segfix'
            )
        init_default_scope(cfg.get('default_scope', 'mmseg'))
        self.device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
        self.model = MODELS.build(cfg.model).to(self.device).eval()
        _load(self.model, checkpoint)
        prepare(self.model, Preparation(exact=exact))
        steps = _test_steps(cfg, config)
        self.align_axis = any(step.get('align_axis', False) for step in steps)
        self.pipeline = Compose([TRANSFORMS.build(step) for step in without_labels(steps)])

    def load(self, path: Path) -> dict:
        """An image as the network takes it: ``inputs`` (3, h, w) and its sample.

        Raises:
            DataError: it is missing or broken.
        """
        try:
            return self.pipeline(dict(img_path=str(path), seg_fields=[]))
        except Exception as error:  # whatever a decoder does with a broken file
            reason = 'missing' if isinstance(error, FileNotFoundError) else 'no intact image'
            raise DataError(f'{path} is {reason}: replace it or take it out') from error

    @torch.no_grad()
    def offsets(self, samples: Sequence[dict]) -> list[np.ndarray]:
        """Offsets (H, W, 2) int8 of images from :meth:`load`, at their stored sizes."""
        found: dict[int, np.ndarray] = {}
        for indices in _of_one_size([sample['inputs'].shape for sample in samples]):
            batch = dict(
                inputs=[samples[i]['inputs'] for i in indices],
                data_samples=[samples[i]['data_samples'] for i in indices],
            )
            for index, predicted in zip(indices, self.model.test_step(batch)):
                steps = direction_to_offset(
                    predicted.pred_direction.data[0],
                    predicted.pred_boundary.data[0],
                    num_directions=self.model.decode_head.num_directions,
                    align_axis=self.align_axis,
                )
                found[index] = steps.cpu().numpy()
        return [found[index] for index in range(len(samples))]


def predict_folder(
    network: OffsetNetwork,
    images: Path,
    out: Path,
    *,
    suffix: str = '.png',
    batch_size: int = 1,
    record: dict[str, Any] | None = None,
) -> dict[str, int]:
    """Writes the offsets of every image below ``images``.

    Args:
        network: what predicts.
        images: folder of images, with subfolders.
        out: folder for the offsets, with the same subfolders; the same command goes on where it
            was stopped.
        suffix: '.png' (compact) or '.mat' (as published).
        batch_size: images of one size that are predicted together.
        record: what decides about the results, compared when a run goes on.

    Returns:
        How many images were ``predicted``, and of how many the offsets were ``kept``.

    Raises:
        DataError: there is no image, the folder holds results of something else, or some
            images cannot be read; the offsets of the others are kept.
    """
    refuse_input(out, images)
    files = files_below(images, IMAGE_ENDINGS, without=out)
    if not files:
        raise DataError(f'{images} has no images ({", ".join(IMAGE_ENDINGS)})')
    output = Output(out, dict(record or {}, images=str(images.resolve()), suffix=suffix))
    names = {
        path: PurePosixPath(path.relative_to(images).with_suffix(suffix).as_posix())
        for path in files
    }
    waiting = [path for path in files if not output.is_done(names[path], [path])]
    failures: list[DataError] = []
    with Progress('predicted', total=len(waiting)) as progress:
        for paths, samples, broken in _loaded(network, waiting, batch_size):
            failures += broken
            for path, offsets in zip(paths, network.offsets(samples)):
                output.write(names[path], offset_bytes(offsets, suffix))
            progress.step(len(paths) + len(broken))
    done = len(files) - len(failures)
    were_there = len(files) - len(waiting)
    print(f'{done - were_there} predicted, {were_there} were there, {len(failures)} failed: {out}')
    raise_failures(failures, done, out)
    return dict(predicted=done - were_there, kept=were_there)


def _loaded(
    network: OffsetNetwork, files: Sequence[Path], batch_size: int
) -> Iterator[tuple[list[Path], list[dict], list[DataError]]]:
    """Batches of images; the next one is read while one is predicted."""

    def load(paths: Sequence[Path]) -> tuple[list[Path], list[dict], list[DataError]]:
        good, samples, broken = [], [], []
        for path in paths:
            try:
                samples.append(network.load(path))
                good.append(path)
            except DataError as error:
                broken.append(error)
        return good, samples, broken

    batches = [files[i : i + batch_size] for i in range(0, len(files), batch_size)]
    with ThreadPoolExecutor(1) as pool:
        ahead = [pool.submit(load, batch) for batch in batches[:1]]
        for following in [*batches[1:], None]:
            if not ahead:
                return
            current = ahead.pop()
            if following is not None:
                ahead.append(pool.submit(load, following))
            yield current.result()


def _of_one_size(shapes: Sequence[tuple[int, ...]]) -> list[list[int]]:
    """Indices of equal shapes together."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, shape in enumerate(shapes):
        groups.setdefault(tuple(shape), []).append(index)
    return list(groups.values())


def _test_steps(cfg: Config, name: str) -> list[dict]:
    """The pipeline of the test set.

    Raises:
        ConfigError: there is none.
    """
    dataset = (cfg.get('test_dataloader') or {}).get('dataset') or {}
    steps = dataset.get('pipeline') or cfg.get('test_pipeline')
    if not steps:
        raise ConfigError(f'config {name} has no test_dataloader.dataset.pipeline')
    return list(steps)


def _load(model: torch.nn.Module, checkpoint: str) -> None:
    """Loads the weights.

    Raises:
        CheckpointError: they cannot be read or do not fit.
    """
    try:
        load_checkpoint(model, checkpoint, map_location='cpu', strict=True)
    except FileNotFoundError as error:
        raise CheckpointError(f'checkpoint {checkpoint} does not exist') from error
    except (CheckpointError, RuntimeError) as error:
        text = ' '.join(str(error).split())
        raise CheckpointError(f'{checkpoint} does not fit the SegFix network: {text}') from error
