"""Predictions of the command, their labels, and a checkpoint that needs no config."""

from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from PIL import Image

from openseg_plugin.cli.main import run
from openseg_plugin.cli.predict import main
from openseg_plugin.converters.checkpoints import read_checkpoint
from openseg_plugin.converters.checkpoints.stored_config import STORED_CONFIG, as_data


def own_checkpoint(toy, path: Path, *, hook: str = 'HookOfSomebody') -> Path:
    """A checkpoint with its config inside, as trainings write them."""
    config, weights, _ = toy
    content = read_checkpoint(str(weights))
    data = as_data(Config.fromfile(config).to_dict())
    data['custom_hooks'] = [{'type': hook}]  # which a prediction does not need
    content['meta'][STORED_CONFIG] = data
    torch.save(content, path)
    return path


def predict(*arguments: object) -> int:
    return run(main, [str(argument) for argument in arguments])


def labels_in(folder: Path) -> dict[str, np.ndarray]:
    return {
        path.relative_to(folder).as_posix(): np.asarray(Image.open(path))
        for path in sorted(folder.rglob('*.png'))
    }
