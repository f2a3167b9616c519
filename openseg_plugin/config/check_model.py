"""The model of a config, checked before it is built: preprocessing, heads, losses, windows."""

import difflib
import logging
import os
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log
from mmseg.models.decode_heads import ASPPHead, PSPHead, UPerHead
from mmseg.models.losses import CrossEntropyLoss as MMSegCrossEntropy
from mmseg.models.segmentors import CascadeEncoderDecoder, DepthEstimator
from torch.nn.modules.batchnorm import _BatchNorm

from openseg_plugin.config import queries
from openseg_plugin.config.options import (
    FLAGS,
    MOST,
    PAIR,
    WHOLE_FROM_1,
    is_number,
    is_pair,
    is_whole,
    need,
)
from openseg_plugin.errors import ConfigError
from openseg_plugin.utils.class_weights import read_class_weights

_PROCESS_COUNTS = ('WORLD_SIZE', 'SLURM_NTASKS', 'OMPI_COMM_WORLD_SIZE')
_IGNORED = 255  # where a head, a metric or a preprocessor says nothing
_MODES = ('whole', 'slide')
_OF_CLASSES = ('loss_decode', 'loss_region')  # others tell edges or scales apart
_PREPROCESSOR_TEST = {'size', 'size_divisor'}
_TEST_CFG = ('mode', 'crop_size', 'stride', 'window_batch', 'with_logits', 'with_confidence')


def check_cascade(model: Mapping) -> None:
    """Our heads score their regions themselves; a cascade would hand them a head's before.

    Raises:
        ConfigError: names key and value, and what is needed.
    """
    heads = model.get('decode_head')
    if not queries.is_model(model, CascadeEncoderDecoder) or not isinstance(heads, (list, tuple)):
        return
    for number, head in enumerate(heads):
        if number and queries.is_ours(head):
            raise ConfigError(
                f'model.type is {model["type"]} and model.decode_head.{number} is '
                f'{head["type"]}, which needs no head before it: give that one alone as '
                "model.decode_head, with region=dict(channels=...), and model.type='EncoderDecoder'"
            )


def check_preprocessor(part: Any) -> None:
    """Makes sure of ``model.data_preprocessor``; None: there is none.

    Raises:
        ConfigError: names key and value, and what is needed.
    """
    key = 'model.data_preprocessor'
    need(part is None or isinstance(part, Mapping), key, part, 'a dict')
    if not part:
        return
    lengths = set()
    for name in ('mean', 'std'):
        values = part.get(name)
        if values is None:
            continue
        is_list = isinstance(values, (list, tuple)) and all(is_number(v) for v in values)
        need(bool(values) and is_list, f'{key}.{name}', values, 'one number per channel')
        lengths.add(len(values))
        need(name == 'mean' or min(values) > 0, f'{key}.{name}', values, 'numbers above 0')
    if len({part.get(name) is None for name in ('mean', 'std')}) > 1:
        raise ConfigError(
            f'{key}.mean is {part.get("mean")!r} and {key}.std is {part.get("std")!r}: give both '
            'or neither'
        )
    if len(lengths) > 1 and 1 not in lengths:
        raise ConfigError(
            f'{key}.mean is {part["mean"]!r} and {key}.std is {part["std"]!r}: give one number per '
            'channel in both'
        )
    for place, options in ((key, part), (f'{key}.test_cfg', part.get('test_cfg') or {})):
        need(isinstance(options, Mapping), place, options, 'a dict')
        size, divisor = options.get('size'), options.get('size_divisor')
        need(size is None or is_pair(size), f'{place}.size', size, PAIR)
        is_divisor = divisor is None or (is_whole(divisor, 1) and divisor <= MOST)
        need(is_divisor, f'{place}.size_divisor', divisor, f'{WHOLE_FROM_1}, at most {MOST}')
        if size is not None and divisor is not None:
            raise ConfigError(f'{place} has size and size_divisor: give one of them')
    tests = part.get('test_cfg') or {}
    unknown = [name for name in tests if name not in _PREPROCESSOR_TEST]
    if unknown or (tests and not {'size', 'size_divisor'} & tests.keys()):
        raise ConfigError(
            f'{key}.test_cfg is {dict(tests)!r}: give size=(height, width) or size_divisor, or '
            'leave it out'
        )


def check_test_cfg(model: Mapping) -> None:
    """Makes sure of the windows and modes of ``model.test_cfg``.

    Raises:
        ConfigError: names key and value, and what is needed.
    """
    part, key = model.get('test_cfg'), 'model.test_cfg'
    need(part is None or isinstance(part, Mapping), key, part, 'a dict')
    if not part:
        return
    for name in ('with_logits', 'with_confidence'):
        value = part.get(name)
        need(value is None or isinstance(value, FLAGS), f'{key}.{name}', value, 'True or False')
    for name in (name for name in part if name not in _TEST_CFG):
        if near := difflib.get_close_matches(name, _TEST_CFG, n=1, cutoff=0.75):
            raise ConfigError(f'{key}.{name} does not exist: did you mean {near[0]}?')
    mode = part.get('mode', 'whole')
    has_flips = queries.is_model(model, DepthEstimator)
    is_mode = mode in _MODES or (has_flips and mode == 'slide_flip')
    need(is_mode, f'{key}.mode', mode, "'whole' or 'slide'")
    if mode == 'whole':
        return
    crop, stride = part.get('crop_size'), part.get('stride')
    need(is_pair(crop), f'{key}.crop_size', crop, PAIR)
    need(is_pair(stride), f'{key}.stride', stride, PAIR)
    if stride[0] > crop[0] or stride[1] > crop[1]:
        raise ConfigError(
            f'{key}.stride is {stride!r} and {key}.crop_size is {crop!r}: the windows would leave '
            'gaps; give a stride no larger than the crop'
        )


def check_head(head: Mapping, key: str) -> None:
    """Makes sure of a head and its losses.

    Raises:
        ConfigError: names key and value, and what is needed.
    """
    classes, ignored = head.get('num_classes'), head.get('ignore_index')
    need(classes is None or is_whole(classes, 1), f'{key}.num_classes', classes, WHOLE_FROM_1)
    is_index = ignored is None or (is_whole(ignored, -(2**31)))
    need(is_index, f'{key}.ignore_index', ignored, 'a whole number')
    for name in (n for n in head if n.startswith('loss_')):
        losses = head[name]
        listed = isinstance(losses, (list, tuple))
        for number, loss in enumerate(losses if listed else [losses]):
            if isinstance(loss, Mapping):
                place = f'{key}.{name}.{number}' if listed else f'{key}.{name}'
                _check_loss(loss, place, classes, tells_classes=name in _OF_CLASSES)


def _check_loss(loss: Mapping, key: str, num_classes: int | None, *, tells_classes: bool) -> None:
    weight = loss.get('loss_weight')
    need(weight is None or is_number(weight), f'{key}.loss_weight', weight, 'a number')
    per_class = loss.get('class_weight')
    if per_class is None:
        return
    if isinstance(per_class, str):  # a file, whose other kinds mmseg's own losses read
        if queries.is_ours(loss):
            wanted = max(2, num_classes) if num_classes and tells_classes else None
            _check_weight_file(per_class, f'{key}.class_weight', wanted)
        return
    needed = f'a list of {num_classes or "as many"} numbers, one per class'
    is_list = isinstance(per_class, (list, tuple)) and all(is_number(v) for v in per_class)
    need(is_list and all(v >= 0 for v in per_class), f'{key}.class_weight', per_class, needed)


def _check_weight_file(path: str, key: str, wanted: int | None) -> None:
    try:
        found = read_class_weights(path)
    except ConfigError as error:
        raise ConfigError(f'{key}: {error}') from error
    if wanted not in (None, len(found)):
        raise ConfigError(
            f'{key} names {path}, which holds {len(found)} weights, but the head tells {wanted} '
            'classes apart: write one weight per class into it.'
        )


def check_single_images(cfg: Config) -> None:
    """BatchNorm has nothing to normalize by where an image is pooled to one value per channel.

    Raises:
        ConfigError: names key and value, and what is needed.
    """
    several = any(os.environ.get(name, '1') != '1' for name in _PROCESS_COUNTS)  # SyncBN gathers
    if cfg.train_dataloader.get('batch_size', 1) > 1 or several:
        return
    for key, head in heads_of(cfg.model):
        pools = getattr(queries.model_class(head), 'pools_whole_image', False)
        if not (pools or queries.is_model(head, PSPHead, ASPPHead, UPerHead)):
            continue
        norm = head.get('norm_cfg')
        if isinstance(norm, Mapping) and queries.is_model(norm, _BatchNorm):
            raise ConfigError(
                f'train_dataloader.batch_size is 1 and {key} is {head["type"]}, which pools the '
                'whole image: normalization needs several values per channel; give 2 or more'
            )


def check_ignored(cfg: Config) -> None:
    """What the loss leaves out must be what the metric leaves out, and what padding is.

    Raises:
        ConfigError: names key and value, and what is needed.
    """
    heads = heads_of(cfg.model)
    for key, head in heads:
        _note_mmseg_average(head, key)
    if not heads:
        return
    key, head = heads[0]
    ignored, classes = head.get('ignore_index', _IGNORED), head.get('num_classes') or 0
    said = f'{key}.ignore_index is {ignored}'
    for split in ('val', 'test'):
        for place, metric in queries.metrics(cfg, split):
            if not isinstance(metric, Mapping):
                continue
            other = metric.get('ignore_index', _IGNORED)
            if other == ignored or not queries.leaves_out_a_label(metric):
                continue
            text = f'{said} and {place}.ignore_index is {other}'
            if not any(0 <= value < classes for value in (ignored, other)):
                raise ConfigError(
                    f'{text}: pixels that the loss leaves out would count as mistakes; give both '
                    'the value that labels have there'
                )
            print_log(
                f'{text}: the metric counts pixels that the loss leaves out, or the other way '
                'round; give both the same value unless that is what you want',
                'current',
                logging.WARNING,
            )
    part = cfg.model.get('data_preprocessor') or {}
    padding = part.get('seg_pad_val', _IGNORED)
    if (part.get('size') or part.get('size_divisor')) and padding != ignored:
        print_log(
            f'{said} and model.data_preprocessor.seg_pad_val is {padding}: padded pixels are '
            f'trained as label {padding}; give seg_pad_val={ignored}',
            'current',
            logging.WARNING,
        )


def _note_mmseg_average(head: Mapping, key: str) -> None:
    """mmseg's cross entropy divides by all pixels, so a mostly ignored image hardly counts."""
    losses: Any = head.get('loss_decode')
    listed = isinstance(losses, (list, tuple))
    for number, loss in enumerate(losses if listed else [losses]):
        if not isinstance(loss, Mapping) or 'avg_non_ignore' in loss:
            continue
        if queries.is_model(loss, MMSegCrossEntropy):
            place = f'{key}.loss_decode.{number}' if listed else f'{key}.loss_decode'
            print_log(
                f'{place} is the CrossEntropyLoss of mmseg, which divides by all pixels, ignored '
                'ones too: an image that is wholly ignored has loss 0 and lowers the mean; give '
                'avg_non_ignore=True to divide by the labelled pixels',
                'current',
            )


def heads_of(model: Mapping) -> list[tuple[str, Mapping]]:
    """Heads with their keys, the one that predicts first."""
    found = []
    for name in ('decode_head', 'auxiliary_head'):
        heads: Any = model.get(name)
        listed = isinstance(heads, (list, tuple))
        for number, head in enumerate(heads if listed else [heads]):
            if isinstance(head, Mapping):
                found.append((f'model.{name}.{number}' if listed else f'model.{name}', head))
    # of a cascade the last head decides
    first = [item for item in found if item[0].startswith('model.decode_head')]
    return [*first[-1:], *first[:-1], *found[len(first) :]]
