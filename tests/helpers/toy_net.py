"""A network of two convolutions and hooks that cut a run off, for the tests of training."""

import os
import signal

import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.structures import PixelData
from torch import nn

from openseg_plugin.registry import HOOKS, MODELS

CLASSES = ('dark', 'middle', 'bright')


class ToyBackbone(nn.Sequential):
    """Its own class, because torch compiles none of its own containers by themselves."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Feature map (N, 4, H, W)."""
        return self[1](self[0](inputs))


@MODELS.register_module()
class ToyNet(BaseModel):
    """Convolution, norm, ReLU, dropout, convolution.

    Args:
        norm: with BatchNorm.
        dropout: probability.
        nan_at: iteration whose loss becomes nan, or several.
        die_at: step that raises.
        bad_rank: the process to which this happens, None for all.
        data_preprocessor: config of the preprocessor.
    """

    def __init__(
        self,
        *,
        norm: bool = True,
        dropout: float = 0.5,
        nan_at: int | list[int] | None = None,
        die_at: int | None = None,
        bad_rank: int | None = None,
        data_preprocessor: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor)
        self.backbone = ToyBackbone(
            nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4) if norm else nn.Identity()
        )
        self.decode_head = nn.Conv2d(4, len(CLASSES), 1)
        self.dropout = dropout
        self.nan_at = nan_at if isinstance(nan_at, list) else [nan_at]
        self.die_at = die_at
        self.is_bad = bad_rank in (None, int(os.environ.get('RANK', '0')))
        self.steps = 0

    def forward(self, inputs: torch.Tensor, data_samples: list | None = None, mode: str = 'tensor'):
        """Losses, predictions or logits, as mmengine asks."""
        feats = nn.functional.dropout(self.backbone(inputs).relu(), self.dropout, self.training)
        logits = self.decode_head(feats)
        if mode == 'loss':
            labels = torch.stack([s.gt_sem_seg.data.squeeze(0) for s in data_samples]).long()
            loss = nn.functional.cross_entropy(logits, labels, ignore_index=255)
            self.steps += 1
            if self.is_bad and self.steps == self.die_at:
                raise RuntimeError('this process dies on purpose')
            if self.is_bad and self.steps in self.nan_at:
                loss = loss * float('nan')
            return dict(loss_ce=loss)
        if mode == 'predict':
            for sample, scores in zip(data_samples, logits):
                sample.pred_sem_seg = PixelData(data=scores.argmax(0, keepdim=True))
            return data_samples
        return logits


@HOOKS.register_module()
class CutOffHook(Hook):
    """Ends the run as Ctrl-C does: after a training iteration, or within a validation.

    Args:
        after_step: the step.
        in_validation_at: the step whose validation it is; it ends after the first image.
        signal_number: send this signal to the process instead.
        rank: the process to end.
        loader: kill the loading process that this process started last instead.
    """

    priority = 'LOWEST'

    def __init__(
        self,
        *,
        after_step: int | None = None,
        in_validation_at: int | None = None,
        signal_number: int | None = None,
        rank: int = 0,
        loader: bool = False,
    ) -> None:
        self.loader = loader
        self.after_step = after_step
        self.in_validation_at = in_validation_at
        self.signal_number = signal_number
        self.rank = rank

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Cuts off after step ``after_step``."""
        if runner.iter + 1 == self.after_step and runner.rank == self.rank:
            self._cut_off()

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Cuts off the validation of step ``in_validation_at``."""
        if runner.iter == self.in_validation_at and batch_idx == 0 and runner.rank == self.rank:
            self._cut_off()

    def _cut_off(self) -> None:
        if self.loader:
            with open(f'/proc/self/task/{os.getpid()}/children') as file:
                os.kill(max(map(int, file.read().split())), signal.SIGKILL)
            return
        if self.signal_number is None:
            raise KeyboardInterrupt
        os.kill(os.getpid(), self.signal_number)


@HOOKS.register_module()
class LossFileHook(Hook):
    """Writes the loss of every iteration of every process to ``losses_<process>.txt``."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Adds a line."""
        with open(os.path.join(runner.work_dir, f'losses_{runner.rank}.txt'), 'a') as file:
            file.write(f'{outputs["loss"].item()!r}\n')


@MODELS.register_module()
class WrongInside(ToyNet):
    """Has a mistake that no config can make or undo."""

    def __init__(self, **options: object) -> None:
        nn.Conv2d(3, 4, 3, paddings=1)


@HOOKS.register_module()
class NoCurvesHook(Hook):
    """In place of CurvesHook, whose drawing would take most of the time of a toy run."""
