"""timm's models by name: built for feature maps, filled with weights, and what those were fed with.

Every sentence names the model and what there is instead.
"""

import difflib
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from openseg_plugin.compat.timm import LoadingReport, loading_report
from openseg_plugin.compat.torchvision import import_timm
from openseg_plugin.converters.checkpoints.keys import SHOWN_OF_MANY, Mismatch, size
from openseg_plugin.errors import CheckpointError, ConfigError
from openseg_plugin.utils.download import is_reachable

_UNKNOWN_OPTION = re.compile(r"unexpected keyword argument '(\w+)'")
_COUNTER = '.num_batches_tracked'
# the swap of the first and third channel, as our, mmseg's and mmengine's preprocessors keep it
_SWAPS = ('swap_channels', 'channel_conversion', '_channel_conversion')


class UnknownOptionError(ConfigError):
    """An argument that a model of timm does not take.

    Args:
        name: of the model.
        option: the argument.
    """

    def __init__(self, name: str, option: str) -> None:
        super().__init__(
            f"timm's {name} has no option {option}: leave it out, or use another backbone."
        )
        self.option = option


def require_model_name(name: str) -> str:
    """``name`` where timm has a model, and weights, of this name.

    Raises:
        ConfigError: it has not; with the nearest names.
    """
    if not isinstance(name, str):
        raise ConfigError(
            f'backbone.model_name is {name!r}: give the name of a model of timm, such as '
            "'convnext_tiny'."
        )
    timm = import_timm()
    architecture, _, tag = name.partition('.')
    if not timm.is_model(architecture):
        raise ConfigError(
            f'timm {timm.__version__} has no model {architecture!r}'
            + _nearest(architecture, timm.list_models())
            + ': set backbone.model_name to one of timm.list_models().'
        )
    tagged = timm.list_pretrained(f'{architecture}.*')
    if tag and name not in tagged:
        raise ConfigError(
            f'timm {timm.__version__} has no weights {tag!r} of {architecture}'
            + _nearest(name, tagged)
            + ": set backbone.model_name to one of timm.list_pretrained(), or to the model's name "
            'alone.'
        )
    return name


def _nearest(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return f'; the nearest are {", ".join(close)}' if close else ''


def default_cfg(name: str) -> dict[str, Any]:
    """What timm states about the weights of a model: ``mean``, ``std``, ``fixed_input_size``..."""
    return import_timm().get_pretrained_cfg(name).to_dict(remove_null=False)


def is_cached(name: str) -> bool:
    """Whether the weights of a timm model were downloaded before."""
    cfg = default_cfg(name)
    hub_id, address = cfg.get('hf_hub_id'), str(cfg.get('url') or '')
    if hub_id:
        from huggingface_hub import try_to_load_from_cache

        files = ('model.safetensors', 'pytorch_model.bin', cfg.get('hf_hub_filename'))
        if any(isinstance(try_to_load_from_cache(hub_id, one), str) for one in files if one):
            return True
    folder = Path(torch.hub.get_dir(), 'checkpoints')
    return bool(address) and (folder / address.rpartition('/')[2]).is_file()


def weights_host(name: str) -> str:
    """Server of the weights of a timm model that are not cached; '' where timm knows none."""
    cfg = default_cfg(name)
    address = str(cfg.get('url') or '')
    if cfg.get('hf_hub_id'):
        from huggingface_hub import constants

        address = constants.ENDPOINT  # users may name a mirror
    return urlsplit(address).netloc


def published(name: str, options: Mapping[str, Any]) -> Any:
    """timm's model of feature maps with the weights that it publishes.

    Args:
        name: timm's name of the model.
        options: arguments of :func:`create_model`.

    Raises:
        OSError: no network; said at once, where huggingface_hub tries for a minute.
        ConfigError: the model has no weights, or cannot be built.
    """
    host = '' if is_cached(name) else weights_host(name)
    if host and not is_reachable(host):
        raise OSError(f'{host} does not answer')
    logger = logging.getLogger('huggingface_hub')
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # it tells of every attempt
    try:
        return create_model(name, options, pretrained=True)
    finally:
        logger.setLevel(level)


def normalization(name: str) -> dict[str, Any]:
    """``mean``, ``std`` (of 0..255) and ``bgr_to_rgb`` of the data preprocessor for a timm model.

    Raises:
        ConfigError: timm has no model of this name.
    """
    cfg = default_cfg(require_model_name(name))
    constants = {key: [round(255 * x, 4) for x in cfg[key]] for key in ('mean', 'std')}
    return dict(**constants, bgr_to_rgb=True)


def require_preprocessing(name: str, preprocessor: nn.Module) -> None:
    """Check that images arrive as the weights of a timm model were trained with them.

    Args:
        name: timm's name of the model.
        preprocessor: mmseg's ``SegDataPreProcessor`` or ours; others are not known and pass.

    Raises:
        ConfigError: names the first key that is different, with both values.
    """
    numbers = getattr(preprocessor, 'mean', None)
    if not hasattr(preprocessor, '_enable_normalize') or getattr(numbers, 'is_meta', False):
        return  # not known, or built without numbers
    wanted = normalization(name)
    has = dict.fromkeys(('mean', 'std'))
    if preprocessor._enable_normalize:
        has = {key: getattr(preprocessor, key).flatten().tolist() for key in has}
    swaps = [getattr(preprocessor, swap) for swap in _SWAPS if hasattr(preprocessor, swap)]
    has['bgr_to_rgb'] = any(swaps) if swaps else True
    for key, value in wanted.items():
        if not _is_close(has[key], value):
            raise ConfigError(
                f"model.data_preprocessor.{key} is {_short(has[key])}, but timm's weights of "
                f'{name} were trained with {_short(value)}: set it to that, or '
                'backbone.check_preprocessing=False for weights of your own.'
            )


def _is_close(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, bool) or found is None:
        return found == wanted
    # a tenth of a gray value: the constants are written with rounding
    return len(found) == len(wanted) and all(abs(a - b) < 0.1 for a, b in zip(found, wanted))


def _short(value: Any) -> str:
    if not isinstance(value, list):
        return str(value)
    return '[' + ', '.join(f'{number:g}' for number in value) + ']'


def create_model(name: str, options: Mapping[str, Any], **loading: Any) -> Any:
    """timm's model that gives feature maps, a module with ``feature_info``.

    Raises:
        UnknownOptionError: the model does not take one of the options.
        ConfigError: it gives no feature maps, or not those that were asked for.
    """
    try:
        return import_timm().create_model(name, features_only=True, **options, **loading)
    except TypeError as error:
        unknown = _UNKNOWN_OPTION.search(str(error))
        if unknown is None:
            raise
        raise UnknownOptionError(name, unknown.group(1)) from error
    except (AssertionError, IndexError, KeyError, ValueError, NotImplementedError) as error:
        reason = f'{type(error).__name__}: {error}' if str(error) else type(error).__name__
        raise ConfigError(f"timm's {name} cannot be built with {options}: {reason}.") from error
    except RuntimeError as error:
        if 'features_only' not in str(error):
            raise
        raise ConfigError(
            f"timm's {name} gives no feature maps (features_only): use another backbone."
        ) from error


def load_weights(
    name: str, options: Mapping[str, Any], weights: Mapping[str, Any]
) -> dict[str, Tensor]:
    """State of timm's model of feature maps, filled from entries under timm's names.

    timm places them itself: it knows older names, adapts the first convolution to other channels
    and embeddings to other sizes.

    Args:
        name: timm's name of the model.
        options: arguments of :func:`create_model`.
        weights: names to tensors or arrays, usually of the whole classifier.

    Raises:
        CheckpointError: they do not fill the model, or hold more of its parts.
    """
    tensors = {key: torch.as_tensor(value) for key, value in weights.items()}
    overlay = dict(state_dict=tensors)
    with loading_report() as report:
        try:
            model = create_model(name, options, pretrained=True, pretrained_cfg_overlay=overlay)
        except (RuntimeError, ConfigError) as error:  # torch's, or of what renames the entries
            raise _misfit(name, _reshaped(report, tensors), reason=str(error)) from error
    found = _left_out(report, model)
    if found:
        raise _misfit(name, found)
    beside = _without_counters(report.unexpected)
    if beside:
        text = f'left out, no part of the backbone: {", ".join(beside)}'
        print_log(text, logger='current', level=logging.DEBUG)
    return model.state_dict()


def _misfit(name: str, found: Mismatch, *, reason: str = '') -> CheckpointError:
    text = found.report(limit=SHOWN_OF_MANY) if found else ' '.join(reason.split())[:200]
    return CheckpointError(
        f"the weights do not fit timm's {name}: {text}; name the model that they were trained for "
        '(backbone.model_name)',
        details=found.listing(),
    )


def _reshaped(report: LoadingReport, tensors: Mapping[str, Tensor]) -> Mismatch:
    own = {} if report.model is None else report.model.state_dict()
    return Mismatch(
        reshaped=[
            f'{name} is {size(value.shape)} in the file and {size(own[name].shape)} here'
            for name, value in tensors.items()
            if name in own and own[name].shape != value.shape
        ]
    )


def _left_out(report: LoadingReport, model: nn.Module) -> Mismatch:
    """Entries of the backbone that were not filled, and of the file without a place in it.

    What the file has beside the backbone, such as the classifier, counts for nothing.
    """
    if report.model is None:
        return Mismatch()
    kept = {id(tensor) for tensor in model.state_dict(keep_vars=True).values()}
    whole = report.model.state_dict(keep_vars=True)
    own = [name for name, tensor in whole.items() if id(tensor) in kept]
    parts = {name.split('.')[0] for name in own}
    return Mismatch(
        unmapped=[n for n in _without_counters(report.unexpected) if n.split('.')[0] in parts],
        unfilled=[n for n in _without_counters(report.missing) if n in own],
    )


def _without_counters(names: Sequence[str]) -> list[str]:
    """All but the counters of BatchNorm, which older files lack."""
    return [name for name in names if not name.endswith(_COUNTER)]
