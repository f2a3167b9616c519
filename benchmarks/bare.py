"""A loop written by hand in plain PyTorch: what the tools can at best come near to.

``test``, ``tta``, ``predict`` and ``train`` without runner, hooks, logs or checks: read with
OpenCV, network with folded norms in channels-last memory, one resize, arg-max, counts.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from openseg_plugin.layers.conv import fold_batch_norm
from openseg_plugin.registry import MODELS

SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
_MEAN = torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1)
_STD = torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1)
_IGNORED = 255


def main(task: str, config: str, checkpoint: str, folder: str, device: str, *rest: str) -> None:
    """Runs ``task`` on the images below ``folder``."""
    model = _network(config, checkpoint).to(device)
    if task == 'train':
        _train(model, Path(folder) / 'train', device, iterations=int(rest[0]))
        return
    model = fold_batch_norm(model.eval()).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        _evaluate(model, Path(folder) / 'val', device, task, out=rest[0] if rest else None)


def _network(config: str, checkpoint: str) -> nn.Module:
    cfg = Config.fromfile(config)
    init_default_scope('mmseg')
    model = revert_sync_batchnorm(MODELS.build(cfg.model))
    model.load_state_dict(torch.load(checkpoint, weights_only=True)['state_dict'])
    return model


def _pairs(folder: Path) -> Iterator[tuple[Path, Path]]:
    for image in sorted((folder / 'image').glob('*.png')):
        yield image, folder / 'label' / image.name


def _normalized(image: np.ndarray, device: str) -> Tensor:
    rgb = torch.from_numpy(np.ascontiguousarray(image[..., ::-1])).to(device).permute(2, 0, 1)
    batch = ((rgb - _MEAN.to(device)) / _STD.to(device))[None]
    return batch.to(memory_format=torch.channels_last)


def _evaluate(model: nn.Module, folder: Path, device: str, task: str, out: str | None) -> None:
    counts = torch.zeros(256 * 256, dtype=torch.int64)
    for image_path, label_path in _pairs(folder):
        image = cv2.imread(str(image_path))
        size = image.shape[:2]
        if task == 'tta':
            scores = sum(_views(model, image, device))
        else:
            scores = _upsampled(model.decode(_normalized(image, device)), size)
        prediction = scores[0].max(0).indices.to(torch.uint8).cpu()
        if out is not None:
            cv2.imwrite(f'{out}/{image_path.name}', prediction.numpy())
            continue
        label = torch.from_numpy(cv2.imread(str(label_path), cv2.IMREAD_UNCHANGED))
        keys = label.flatten().int() * 256 + prediction.flatten().int()
        counts += torch.bincount(keys, minlength=256 * 256)
    table = counts.view(256, 256)[:_IGNORED]
    print(f'accuracy {float(table.diagonal().sum() / max(int(table.sum()), 1)):.4f}')


def _views(model: nn.Module, image: np.ndarray, device: str) -> Iterator[Tensor]:
    size = image.shape[:2]
    for scale in SCALES:
        scaled = cv2.resize(image, None, fx=scale, fy=scale)
        for flip in (False, True):
            view = scaled[:, ::-1] if flip else scaled
            scores = _upsampled(model.decode(_normalized(view, device)), size).softmax(1)
            yield scores.flip(3) if flip else scores


def _upsampled(scores: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(scores, size, mode='bilinear', align_corners=False)


def _train(model: nn.Module, folder: Path, device: str, *, iterations: int) -> None:
    model = model.train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), 0.01, 0.9, weight_decay=0.0005, fused=True)
    pairs = list(_pairs(folder))
    generator = np.random.default_rng(0)
    for step in range(iterations):
        images, labels = zip(
            *(_crop(pairs[(2 * step + k) % len(pairs)], generator) for k in (0, 1))
        )
        inputs = torch.cat([_normalized(image, device) for image in images])
        target = torch.from_numpy(np.stack(labels)).to(device).long()
        feats = model.extract_feat(inputs)
        loss = torch.zeros((), device=device)
        *regions, final = _outputs(model.decode_head(feats))
        for scores, weight in ((final, 1.0), *((one, 0.4) for one in regions)):
            scores = _upsampled(scores, target.shape[1:])
            loss = loss + weight * F.cross_entropy(scores, target, ignore_index=_IGNORED)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    torch.save(model.state_dict(), folder / 'bare.pth')


def _outputs(scores: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return scores if isinstance(scores, tuple) else (scores,)


def _crop(pair: tuple[Path, Path], generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A random window of half the image's sides from the scaled, maybe flipped image."""
    image = cv2.imread(str(pair[0]))
    label = cv2.imread(str(pair[1]), cv2.IMREAD_UNCHANGED)
    height, width = (side // 2 for side in label.shape)
    scale = generator.uniform(0.5, 2.0)
    image = cv2.resize(image, None, fx=scale, fy=scale)
    size = (max(image.shape[1], width), max(image.shape[0], height))
    label = cv2.resize(label, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    down, right = size[1] - image.shape[0], size[0] - image.shape[1]
    image = cv2.copyMakeBorder(image, 0, down, 0, right, cv2.BORDER_CONSTANT)
    label = cv2.copyMakeBorder(label, 0, down, 0, right, cv2.BORDER_CONSTANT, value=_IGNORED)
    top = generator.integers(size[1] - height + 1)
    left = generator.integers(size[0] - width + 1)
    window = (slice(top, top + height), slice(left, left + width))
    step = -1 if generator.random() < 0.5 else 1
    return image[window][:, ::step], label[window][:, ::step].copy()


if __name__ == '__main__':
    main(*sys.argv[1:])
