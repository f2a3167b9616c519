"""The graph that is exported: image in, labels out, with everything between inside.

Channel order, mean and deviation, padding to the divisor *after* normalization and its cut, the
network, one resize of the logits and the arg-max are part of the graph, so that nothing of it can
be done differently by whoever runs the file. Sliding windows and test-time augmentation loop over
sizes: they belong into the program that runs the file.

Legend: N batch, C image channels, K classes, (H, W) size of the image in pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from openseg_plugin.errors import ConfigError
from openseg_plugin.layers.resize import AlignCorners, resize_bilinear
from openseg_plugin.layers.scale_fusion import scaled_size

if TYPE_CHECKING:
    from mmseg.models.segmentors import BaseSegmentor

LAYOUTS = ('uint8-nhwc', 'uint8-nchw', 'float-nchw')
OUTPUTS = ('labels', 'logits', 'probabilities', 'labels+confidence')
CHANNEL_ORDERS = ('rgb', 'bgr')
UINT8_CLASSES = 256


@dataclass(frozen=True)
class GraphOptions:
    """What the graph takes and gives.

    Attributes:
        size: (H, W) of every image; None: any.
        batch: number of images; None: any.
        layout: 'uint8-nhwc', 'uint8-nchw' or 'float-nchw' (gray values 0..255 too).
        channels: order of the three channels of the input, 'rgb' or 'bgr'.
        output: 'labels' (N, H, W) uint8 (int32 beyond 256 classes), 'logits' or 'probabilities'
            (N, K, H, W) float32, or 'labels+confidence', the latter (N, H, W) float32.
        scales: of plain multi-scale prediction, the mean of the probabilities, whose logarithm is
            then given as logits; (1.0,): none.
        flip: add the horizontally flipped image at every scale.
    """

    size: tuple[int, int] | None = None
    batch: int | None = 1
    layout: str = 'uint8-nhwc'
    channels: str = 'rgb'
    output: str = 'labels'
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False

    def __post_init__(self) -> None:
        for name, value, known in (
            ('--input', self.layout, LAYOUTS),
            ('--channels', self.channels, CHANNEL_ORDERS),
            ('--output', self.output, OUTPUTS),
        ):
            if value not in known:
                raise ConfigError(f'{name} {value}: choose one of {", ".join(known)}')
        if self.size is not None and min(self.size) < 1:
            raise ConfigError(f'--size {self.size[0]} {self.size[1]}: give pixels above 0')
        if self.batch is not None and self.batch < 1:
            raise ConfigError(f'--batch {self.batch}: give 1 or more, or dynamic')
        if any(not 0 < scale < 10 for scale in self.scales):
            raise ConfigError(f'--scales {self.scales}: give numbers above 0, such as 0.5 1 2')
        smallest = min(self.scales, default=1.0)
        if self.size is not None and min(self.size) * smallest < 1:
            raise ConfigError(
                f'--scales {smallest:g} leaves less than one pixel of --size {self.size[0]} '
                f'{self.size[1]}: give larger scales, or a larger size'
            )

    @property
    def averages(self) -> bool:
        """Whether several views are predicted, whose probabilities are averaged."""
        return self.scales != (1.0,) or self.flip


@dataclass(frozen=True)
class Preprocessing:
    """What a model's preprocessor does with a test image.

    Attributes:
        mean: of each channel in the order that the network sees, in gray values.
        std: likewise.
        order: 'rgb' or 'bgr', what the network sees.
        divisor: sides are padded to a multiple of it at the right and bottom.
        pad_value: value of padded pixels, after normalization.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    order: str
    divisor: int
    pad_value: float


def preprocessing_of(preprocessor: Any, size: Sequence[int] | None = None) -> Preprocessing:
    """Reads mmseg's or our preprocessor; images come from the loader as BGR.

    Args:
        preprocessor: of the model.
        size: (H, W) of every image; None: any.

    Raises:
        ConfigError: it pads test images to a fixed size, which is not theirs.
    """
    test_cfg = dict(getattr(preprocessor, 'test_cfg', None) or {})
    padded = test_cfg.get('size')
    if padded is not None and (size is None or tuple(size) != tuple(padded)):
        raise ConfigError(
            f'data_preprocessor.test_cfg.size={tuple(padded)} pads test images to one size: give '
            f'--size {padded[0]} {padded[1]}, or set size_divisor instead'
        )
    swaps = getattr(preprocessor, 'channel_conversion', None)
    swaps = getattr(preprocessor, 'swap_channels', False) if swaps is None else swaps
    mean, std = getattr(preprocessor, 'mean', None), getattr(preprocessor, 'std', None)
    is_normalized = getattr(preprocessor, '_enable_normalize', mean is not None)
    return Preprocessing(
        mean=tuple(mean.flatten().tolist()) if is_normalized and mean is not None else (),
        std=tuple(std.flatten().tolist()) if is_normalized and std is not None else (),
        order='rgb' if swaps else 'bgr',
        divisor=int(test_cfg.get('size_divisor') or 1),
        pad_value=float(getattr(preprocessor, 'pad_val', 0.0)),
    )


# Precisions of a file that joins maps late: 8 bits would round the matrices that enlarge, and where
# a processor convolves in bfloat16 that is faster than their products.
JOINING = ('fp32', 'fp16')


class InferenceGraph(nn.Module):
    """From images to labels, for :func:`torch.export.export` and as the reference of the check.

    Args:
        model: a segmentor of this package or of mmseg, in evaluation mode.
        options: what the graph takes and gives.
        flip_pairs: classes that change places in a flipped image.
        joins_late: maps of coarse branches are enlarged after the convolution that reads them,
            where that is less work; see :data:`JOINING`.
    """

    mean: Tensor
    std: Tensor
    head: Any

    def __init__(
        self,
        model: 'BaseSegmentor',
        options: GraphOptions,
        *,
        flip_pairs: Sequence[Sequence[int]] = (),
        joins_late: bool = True,
    ) -> None:
        super().__init__()
        self.model = model
        self.options = options
        self.preprocessing = preprocessing_of(model.data_preprocessor, options.size)
        head = model.decode_head
        self.head = head[-1] if isinstance(head, nn.ModuleList) else head
        if hasattr(self.head, 'shown') and getattr(self.head, 'context', 'oracle') == 'oracle':
            raise ConfigError(
                f'{type(self.head).__name__} reads the labels of the image, which whoever runs the '
                'file has not: export the network without it'
            )
        if not hasattr(self.head, 'num_classes'):
            raise ConfigError(
                f'{type(model).__name__} predicts no classes, so there is no label map to export'
            )
        if hasattr(self.head, 'recorded_strides'):
            self.head.recorded_strides = self._strides() if joins_late else None
        self.num_classes = int(self.head.num_classes)
        self.is_binary = int(getattr(self.head, 'out_channels', self.num_classes)) == 1
        self.threshold = float(getattr(self.head, 'threshold', None) or 0.5)
        shape = (1, -1, 1, 1)
        mean, std = (
            torch.tensor(values or (value,), dtype=torch.float32).view(shape)
            for values, value in ((self.preprocessing.mean, 0.0), (self.preprocessing.std, 1.0))
        )
        self.register_buffer('mean', mean)
        self.register_buffer('std', std)
        self.swaps = swapped_order(flip_pairs, 1 if self.is_binary else self.num_classes)

    def _strides(self) -> list[int] | None:
        """Strides of the maps that the head resizes and joins; None: there are none."""
        model: Any = self.model
        if self.head.input_transform != 'resize_concat' or not hasattr(model, 'map_strides'):
            return None
        strides = model.map_strides(image_channels(model, self.preprocessing.mean))
        return [strides[index] for index in self.head.in_index]

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """See :class:`GraphOptions`."""
        logits = self.logits(self.normalized(images))
        output = self.options.output
        averages = self.options.averages
        if output == 'logits':
            return self._as_logits(logits) if averages else logits
        if not averages and not self.is_binary and output.startswith('labels'):
            largest, labels = logits.max(dim=1)
            if output == 'labels':
                return self._labels(labels)
            # the largest probability, of which the others are not needed
            return self._labels(labels), 1 / (logits - largest[:, None]).exp().sum(dim=1)
        scores = logits if averages else self._probabilities(logits)
        if output == 'probabilities':
            return scores
        if self.is_binary:
            labels, confidence = scores[:, 0] > self.threshold, scores[:, 0]
            confidence = torch.where(labels, confidence, 1 - confidence)
        else:
            confidence, labels = scores.max(dim=1)
        if output == 'labels':
            return self._labels(labels)
        return self._labels(labels), confidence

    def normalized(self, images: Tensor) -> Tensor:
        """(N, C, H, W) float32 in the network's channel order, from images as they come in."""
        if self.options.layout == 'uint8-nhwc':
            images = images.permute(0, 3, 1, 2)
        images = images.float()
        if images.shape[1] == 3 and self.options.channels != self.preprocessing.order:
            images = images.flip(1)
        return (images - self.mean) / self.std

    def logits(self, images: Tensor) -> Tensor:
        """(N, K, H, W) of normalized images; with scales or flip the mean of the probabilities."""
        scales, flip = self.options.scales, self.options.flip
        if not self.options.averages:
            return self._one_view(images)
        size, views = images.shape[2:], []
        for scale in scales:
            scaled = images
            if scale != 1:
                scaled = resize_bilinear(images, scaled_size(size, scale), align_corners=False)
            views += [scaled, scaled.flip(3)] if flip else [scaled]
        total = None
        for index, view in enumerate(views):
            scores = self._one_view(view)
            if flip and index % 2:
                scores = scores.flip(3)
                if self.swaps:
                    scores = scores[:, self.swaps]
            scores = resize_bilinear(scores, size, align_corners=self._align_corners)
            scores = self._probabilities(scores)
            total = scores if total is None else total + scores
        assert total is not None, 'there is a scale'
        return total / len(views)

    def _one_view(self, images: Tensor) -> Tensor:
        height, width = images.shape[2:]
        divisor = self.preprocessing.divisor
        if divisor > 1:
            # of whole numbers of cells, from which a recorded graph knows that they divide it
            rows = ((height - 1) // divisor + 1) * divisor - height
            columns = ((width - 1) // divisor + 1) * divisor - width
            images = functional.pad(
                images, (0, columns, 0, rows), value=self.preprocessing.pad_value
            )
        logits = network_logits(self.model, images)
        logits = resize_bilinear(logits, images.shape[2:], align_corners=self._align_corners)
        return self._cut(logits, (height, width))

    def _cut(self, maps: Tensor, size: Sequence[int]) -> Tensor:
        """The first ``size`` rows and columns, without those of the padding.

        Chosen by index: a slice's strides would make the padding a condition of the graph.
        """
        if self.preprocessing.divisor == 1:
            return maps
        for axis, side in zip((-2, -1), size):
            maps = maps.index_select(axis, torch.arange(side, device=maps.device))
        return maps

    @property
    def _align_corners(self) -> AlignCorners:
        return self.model.align_corners

    def _probabilities(self, logits: Tensor) -> Tensor:
        """Sigmoid or softmax; ONNX Runtime's own softmax over channels takes ten times as long."""
        if self.is_binary:
            return logits.sigmoid()
        parts = (logits - logits.amax(dim=1, keepdim=True)).exp()
        return parts / parts.sum(dim=1, keepdim=True)

    def _as_logits(self, probabilities: Tensor) -> Tensor:
        if self.is_binary:
            return probabilities.logit(eps=1e-7)
        return probabilities.clamp(min=torch.finfo(probabilities.dtype).tiny).log()

    def _labels(self, labels: Tensor) -> Tensor:
        return labels.to(torch.uint8 if self.num_classes <= UINT8_CLASSES else torch.int32)


def image_channels(model: nn.Module, mean: Sequence[float]) -> int:
    """C of the images that a model takes; one mean may stand for all of them."""
    if len(mean) > 1:
        return len(mean)
    first = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    return 3 if first is None else first.in_channels


def swapped_order(pairs: Sequence[Sequence[int]], count: int) -> list[int]:
    """Classes in the order of a flipped image; empty where none changes places."""
    if not pairs or count == 1:
        return []
    order = list(range(count))
    for left, right in pairs:
        order[left], order[right] = right, left
    return order


def network_logits(model: 'BaseSegmentor', images: Tensor) -> Tensor:
    """Final logits (N, K, h, w) of normalized images, in one whole pass, at any resolution."""
    if hasattr(model, 'decode'):
        return model.decode(images)
    size = images.shape[2:]
    metas = [dict(img_shape=size, pad_shape=size, ori_shape=size)] * len(images)
    return model.encode_decode(images, metas)


def example_images(options: GraphOptions, channels: int) -> Tensor:
    """Images of the kind that the graph takes, small and of odd sides where any size goes."""
    height, width = options.size or (83, 107)
    batch = options.batch or 3  # a batch of 1 would be recorded as a constant
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (batch, channels, height, width), generator=generator)
    if options.layout == 'float-nchw':
        return images.float()
    images = images.to(torch.uint8)
    return images.permute(0, 2, 3, 1).contiguous() if options.layout == 'uint8-nhwc' else images


def axes(options: GraphOptions) -> Sequence[int]:
    """Axes of the input that hold (H, W)."""
    return (1, 2) if options.layout == 'uint8-nhwc' else (2, 3)
