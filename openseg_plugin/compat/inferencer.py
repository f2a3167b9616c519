"""mmengine's inferencers evaluate the config text in a checkpoint as Python.

For: mmengine 0.10 (``BaseInferencer._init_model``), behind ``MMSegInferencer(weights=FILE)``.
Ends when: mmengine reads that config as data.

The config is read as data (:mod:`openseg_plugin.converters.checkpoints.stored_config`), which
understands all that mmengine writes, unless checkpoints are trusted.
"""

import functools
from types import ModuleType
from typing import Any

from openseg_plugin.compat.checkpoint_reading import checkpoints_are_trusted
from openseg_plugin.compat.import_hooks import after_import


def install() -> None:
    """Let inferencers take the config out of a checkpoint without running it."""
    after_import({'mmengine.infer.infer': _replace})


def _replace(module: ModuleType) -> None:
    initialize = module.BaseInferencer._init_model

    @functools.wraps(initialize)
    def _init_model(self: Any, cfg: Any, weights: Any, device: str = 'cpu') -> Any:
        if not cfg and weights is not None and not checkpoints_are_trusted():
            cfg.update(_config_of(weights))
        return initialize(self, cfg, weights, device)

    module.BaseInferencer._init_model = _init_model


def _config_of(weights: str) -> dict[str, Any]:
    """The config in a checkpoint.

    Raises:
        CheckpointError: there is none, or it is more than data.
    """
    from mmengine.runner import CheckpointLoader

    from openseg_plugin.converters.checkpoints.stored_config import stored_config
    from openseg_plugin.errors import CheckpointError

    checkpoint = CheckpointLoader.load_checkpoint(weights, map_location='meta')
    config = stored_config(checkpoint)
    if config is None:
        raise CheckpointError(
            f'{weights} holds no config that can be read as data: give the config file as model=; '
            'if you trust where the file comes from, OPENSEG_PLUGIN_TRUST_CHECKPOINTS=1 runs it'
        )
    return config
