"""Batches that fit into the memory: of a training by a dry run, of a test by trying."""

import copy
import gc
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.device import get_device
from mmengine.dist import all_reduce, get_world_size
from mmengine.model import BaseModel, BaseTTAModel, revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope

from openseg_plugin.config.queries import is_model
from openseg_plugin.errors import ConfigError
from openseg_plugin.export.session import ExportedSegmentor
from openseg_plugin.inference.tiling import TOGETHER, free_memory
from openseg_plugin.registry import DATASETS, MODELS
from openseg_plugin.utils.live_tensors import LiveTensors
from openseg_plugin.utils.random_state import preserve_rng_state

MOST = 64
"""Larger batches need another recipe."""
_USED = 0.9  # fraction of the memory; the rest is for what differs between batches
_FEW, _MORE = 2, 4  # images of the two measurements


def set_test_batch(cfg: Config, wanted: int | str) -> None:
    """Images that a test loads and predicts at a time, 'auto': of which the device makes use.

    Raises:
        ConfigError: several, with test-time augmentation, whose views are a batch already.
    """
    loader = cfg.test_dataloader
    has_views = is_model(cfg.model, BaseTTAModel)
    if isinstance(wanted, str):
        is_alone = has_views or is_model(cfg.model, ExportedSegmentor) or get_device() == 'cpu'
        wanted = max(loader.get('batch_size', 1), 1 if is_alone else TOGETHER)
    elif wanted > 1 and has_views:
        raise ConfigError(
            f'--batch-size {wanted}: with --aug-test the views of one image are the batch, leave '
            '--batch-size out'
        )
    loader.batch_size = wanted


class EqualImages:
    """``test_step`` of a segmentor that takes images of any sizes: neighbors of one size together.

    Where so many do not fit into the memory of a GPU, it goes on with half as many.

    Args:
        step: of the segmentor, which takes images of one size.
    """

    def __init__(self, step: Callable[[Mapping[str, Any]], Sequence[Any]]) -> None:
        self._step = step
        self._most: int | None = None  # images that fit; None: all so far

    def __call__(self, data: Mapping[str, Any]) -> Sequence[Any]:
        """Samples with predictions, in the order of ``data['inputs']`` (list of (C, H, W))."""
        images = data['inputs']
        if len(images) == 1:
            return self._step(data)
        found: list[Any] = []
        for _, group in itertools.groupby(range(len(images)), lambda i: images[i].shape):
            found += self._predicted(data, list(group))
        return found

    def _predicted(self, data: Mapping[str, Any], group: Sequence[int]) -> list[Any]:
        found: list[Any] = []
        while len(found) < len(group):
            part = group[len(found) :][: self._most]
            try:
                found += self._step({key: [data[key][i] for i in part] for key in data})
            except torch.cuda.OutOfMemoryError:
                if len(part) == 1:
                    raise
                self._most = len(part) // 2
            if len(part) > (self._most or len(part)):  # outside, where the failed pass is gone
                torch.cuda.empty_cache()
        return found


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
