"""Converted weights tried out: the model that fits them predicts images, and draws what it saw.

H, W: size of an image in pixels.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from mmengine.structures import BaseDataElement

from openseg_plugin.config.loading import load_config
from openseg_plugin.config.queries import dataset_class, without_labels
from openseg_plugin.converters.checkpoints import Conversion
from openseg_plugin.converters.checkpoints.stored_config import stored_config
from openseg_plugin.errors import CheckpointError, DataError
from openseg_plugin.layers.direction_field import direction_to_offset
from openseg_plugin.registry import MODELS, TRANSFORMS
from openseg_plugin.report.drawing import Tile, blend, draw_row, fit
from openseg_plugin.report.panel import draw_panel
from openseg_plugin.segfix.drawing import offset_colors
from openseg_plugin.utils.palette import distinct_colors

_NAMED = 3  # classes that are named on the command line


def config_for(checkpoint: Mapping[str, Any], conversion: Conversion) -> Config | None:
    """The config of the model that fits: a shipped one, or the one in the file, read as data.

    None: there is neither.

    Raises:
        CheckpointError: the config in the file names what no registry has.
    """
    if conversion.is_backbone:
        return None
    if conversion.config:
        options = dict(conversion.cfg_options)
        return load_config(conversion.config, data=conversion.data, options=options)
    stored = stored_config(checkpoint)
    if stored is None or not {'model', 'test_dataloader'} <= stored.keys():
        return None
    return Config(stored)


class Verification:
    """The model of a config with these weights.

    Args:
        cfg: of the model, with a test pipeline.
        weights: every entry of the model, under its names.
        what: names the weights in messages.

    Raises:
        CheckpointError: the weights do not fill the model exactly.
    """

    def __init__(self, cfg: Config, weights: Mapping[str, torch.Tensor], *, what: str) -> None:
        init_default_scope(cfg.get('default_scope', 'mmseg'))
        device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
        self.model = MODELS.build(cfg.model).to(device).eval()
        try:
            self.model.load_state_dict(dict(weights), strict=True)
        except RuntimeError as error:
            text = ' '.join(str(error).split())
            raise CheckpointError(f'{what}: the weights do not fit its config: {text}') from error
        steps = cfg.test_dataloader.dataset.pipeline
        self.pipeline = Compose([TRANSFORMS.build(step) for step in without_labels(steps)])
        self.align_axis = any(step.get('align_axis', False) for step in steps)
        self.cfg = cfg

    def draw(self, images: Sequence[Path], folder: Path, stem: str) -> Iterator[tuple[Path, str]]:
        """Predicts each image; the file of its overlay, and in words what was seen.

        Args:
            images: image files.
            folder: made if it is not there.
            stem: begin of the overlays' names.

        Raises:
            DataError: an image is missing or broken, or an overlay cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for path in images:
            seen, image, sample = self._predict(path)
            panel, words = self._drawn(image, seen, sample, path.stem)
            file = folder / f'{stem}_{path.stem}.jpg'
            if not cv2.imwrite(os.fspath(file), cv2.cvtColor(panel, cv2.COLOR_RGB2BGR)):
                raise DataError(f'{file} cannot be written: give another --verify-dir')
            yield file, words

    @torch.no_grad()
    def _predict(self, path: Path) -> tuple[np.ndarray, np.ndarray, BaseDataElement]:
        """The image as the network got it and as it is stored (H, W, 3) RGB, the prediction."""
        stored = cv2.imread(os.fspath(path), cv2.IMREAD_COLOR) if path.is_file() else None
        if stored is None:
            raise DataError(f'{path} is missing or no intact image: give another one to --verify')
        data = self.pipeline(dict(img_path=os.fspath(path), seg_fields=[]))
        batch = dict(inputs=[data['inputs']], data_samples=[data['data_samples']])
        seen = np.ascontiguousarray(data['inputs'].permute(1, 2, 0).numpy()[..., ::-1])
        sample = self.model.test_step(batch)[0]
        return seen, cv2.cvtColor(stored, cv2.COLOR_BGR2RGB), sample

    def _drawn(
        self, image: np.ndarray, seen: np.ndarray, sample: BaseDataElement, title: str
    ) -> tuple[np.ndarray, str]:
        if 'pred_sem_seg' not in sample:  # SegFix knows no classes
            return self._drawn_offsets(image, seen, sample)
        prediction = sample.pred_sem_seg.data[0].cpu().numpy()
        classes, palette = class_names(self.cfg, self.model.decode_head.num_classes)
        panel = draw_panel(
            _of_size(prediction.shape, image, seen), None, prediction, palette, classes, title=title
        )
        values, counts = np.unique(prediction, return_counts=True)
        order = np.argsort(-counts)[:_NAMED]
        fractions = [
            f'{classes[values[i]]} {100 * counts[i] / prediction.size:.0f} %' for i in order
        ]
        rest = len(values) - len(order)
        return panel, ', '.join(fractions) + (f' and {rest} more classes' if rest else '')

    def _drawn_offsets(
        self, image: np.ndarray, seen: np.ndarray, sample: BaseDataElement
    ) -> tuple[np.ndarray, str]:
        direction, boundary = sample.pred_direction.data[0], sample.pred_boundary.data[0]
        steps = direction_to_offset(
            direction,
            boundary,
            num_directions=self.model.decode_head.num_directions,
            align_axis=self.align_axis,
        )
        shown = _of_size(boundary.shape, image, seen)
        colors = blend(shown, offset_colors(steps.cpu().numpy()), opacity=0.72)
        fraction = 100 * float(boundary.float().mean())
        tiles = [Tile('image', fit(shown, smooth=True)), Tile('offsets', fit(colors, smooth=True))]
        return draw_row(tiles), f'boundary {fraction:.0f} %'


def class_names(cfg: Config, number: int) -> tuple[list[str], list[Sequence[int]]]:
    """Names and colors: those of the config's dataset if it has so many, else made up."""
    dataset = cfg.test_dataloader.dataset
    meta = dataset.get('metainfo') or getattr(dataset_class(dataset), 'METAINFO', {})
    classes, palette = list(meta.get('classes') or ()), list(meta.get('palette') or ())
    if len(classes) == len(palette) == number:
        return classes, palette
    return [f'class {i}' for i in range(number)], list(distinct_colors(number))


def _of_size(size: Sequence[int], *images: np.ndarray) -> np.ndarray:
    """The first image that has this size (H, W), else the last one brought to it."""
    for image in images:
        if image.shape[:2] == tuple(size):
            return image
    return cv2.resize(images[-1], (size[1], size[0]), interpolation=cv2.INTER_AREA)
