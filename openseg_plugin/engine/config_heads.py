"""Class counts that a config gives its heads and losses."""

from collections.abc import Iterator
from typing import Any

from mmengine.config import Config

from openseg_plugin.doctor.source import Head

_HEADS = ('decode_head', 'auxiliary_head')


def heads_of(cfg: Config) -> Iterator[Head]:
    """Decode and auxiliary heads with their class counts and the lengths of class weights."""
    model = cfg.get('model') or {}
    for name in _HEADS:
        heads = model.get(name)
        if not heads:
            continue
        listed = isinstance(heads, (list, tuple))
        for number, head in enumerate(heads if listed else [heads]):
            key = f'model.{name}.{number}' if listed else f'model.{name}'
            if head.get('num_classes') is not None:
                yield Head(key, head['num_classes'], tuple(_weights(head, key)))


def _weights(head: Any, key: str) -> Iterator[tuple[str, int]]:
    for name in sorted(k for k in head if k.startswith('loss')):
        losses = head[name]
        listed = isinstance(losses, (list, tuple))
        for number, loss in enumerate(losses if listed else [losses]):
            weight = loss.get('class_weight') if hasattr(loss, 'get') else None
            if isinstance(weight, (list, tuple)):
                place = f'{key}.{name}.{number}' if listed else f'{key}.{name}'
                yield f'{place}.class_weight', len(weight)
