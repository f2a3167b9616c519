"""The largest batch of a training that fits into the memory, found by a dry run."""

import copy
import gc
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.device import get_device
from mmengine.dist import all_reduce, get_world_size
from mmengine.model import BaseModel, revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope

from openseg_plugin.errors import ConfigError
from openseg_plugin.inference.tiling import free_memory
from openseg_plugin.registry import DATASETS, MODELS
from openseg_plugin.utils.live_tensors import LiveTensors
from openseg_plugin.utils.random_state import preserve_rng_state

MOST = 64
"""Larger batches need another recipe."""
_USED = 0.9  # fraction of the memory; the rest is for what differs between batches
_FEW, _MORE = 2, 4  # images of the two measurements


def largest_batch(cfg: Config) -> int:
    """Images per process of the largest batch that can be trained, from 2 to :data:`MOST`.

    Two iterations with 2 and with 4 images tell what the network takes and what every image takes;
    on a GPU the result is tried. Samples, optimizer and precision are those of the config. No
    random state and no weights of the run are touched; all processes call this together.

    Raises:
        ConfigError: not even 2 images fit.
    """
    init_default_scope(cfg.get('default_scope') or 'mmseg')
    with preserve_rng_state():
        trial = _Trial(copy.deepcopy(cfg))
        found = trial.largest()
        del trial
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if get_world_size() > 1:
        fewest = torch.tensor(float(found))
        all_reduce(fewest, op='min')
        found = int(fewest.item())
    return found


class _Trial:
    def __init__(self, cfg: Config) -> None:
        settings = cfg.model
        if settings.get('backbone'):
            settings.backbone.init_cfg = None
            if settings.backbone.get('pretrained') is True:
                settings.backbone.pretrained = False
        if settings.get('pretrained'):
            settings.pretrained = None
        dataset = DATASETS.build(cfg.train_dataloader.dataset)
        self.images = len(dataset)
        self.samples = [dataset[k % self.images] for k in range(2)]
        self.device = torch.device(get_device())
        model = revert_sync_batchnorm(MODELS.build(settings)).to(self.device)
        frozen = cfg.get('frozen_parts') or ()
        for name in [frozen] if isinstance(frozen, str) else frozen:
            model.get_submodule(name).requires_grad_(False)
        self.model: BaseModel = model.train()
        self.wrapper = build_optim_wrapper(self.model, cfg.optim_wrapper)
        self.wrapper.initialize_count_status(self.model, 0, 10**6)

    def largest(self) -> int:
        few = self._peak(_FEW)
        if few is None:
            raise ConfigError(
                '--batch-size auto: not even 2 images fit into the memory; use a smaller crop, or '
                '--amp'
            )
        more = self._peak(_MORE)
        if more is None:
            return _FEW
        slope = max((more - few) / (_MORE - _FEW), 1.0)
        found = int((_USED * self._memory() - (few - _FEW * slope)) // slope)
        found = max(_FEW, min(found, self.most))
        while self.device.type == 'cuda' and found > _MORE and self._peak(found) is None:
            found = max(_MORE, int(_USED * found))
        return found

    @property
    def most(self) -> int:
        """No more than there are images."""
        return max(_FEW, min(MOST, self.images // get_world_size()))

    def _memory(self) -> float:
        """Bytes that this process can have."""
        if self.device.type == 'cuda':
            free, _ = torch.cuda.mem_get_info(self.device)
            return free + torch.cuda.memory_reserved(self.device)
        return free_memory(self.device)

    def _peak(self, number: int) -> int | None:
        """Most bytes of two iterations with ``number`` images; None where they do not fit."""
        try:
            if self.device.type != 'cuda':
                with LiveTensors() as memory:
                    self._iterate(number)
                return memory.peak
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)
            self._iterate(number)
            return torch.cuda.max_memory_reserved(self.device)
        except torch.OutOfMemoryError:
            self.wrapper.zero_grad()
            return None

    def _iterate(self, number: int) -> None:
        for _ in range(2):  # the optimizer makes its state in the first
            batch: Any = [copy.deepcopy(self.samples[k % 2]) for k in range(number)]
            self.model.train_step(pseudo_collate(batch), self.wrapper)
