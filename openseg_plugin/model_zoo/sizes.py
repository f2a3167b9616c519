"""How many numbers a published file holds, computed from the model of its config.

Hardly any author says how large a file is. The model of the entry's config and options, built
without memory for its weights, has the same arrays but for biases in front of normalisations.
"""

import json
from typing import Any

from openseg_plugin.model_zoo.entries import PATH, Entry, entries
from openseg_plugin.paths import config_path
from openseg_plugin.utils.atomic import write_text


def computed(entry: Entry) -> int:
    """Parameters and running statistics of the model of its config, of a backbone those alone."""
    model = built(entry)
    if entry.data == 'ImageNet':
        model = model.backbone
    return sum(value.numel() for value in model.state_dict().values() if value.is_floating_point())


def built(entry: Entry) -> Any:
    """The model of its config and options, its weights on the meta device."""
    # the other commands need no mmseg, which takes seconds to import
    import torch
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    from openseg_plugin.registry import MODELS

    cfg = Config.fromfile(config_path(entry.config))
    cfg.merge_from_dict(dict(entry.options))
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    # its mean and spread are no weights, so they may as well be there
    model.data_preprocessor = MODELS.build(cfg.model.data_preprocessor)
    return model


def write() -> list[str]:
    """Brings the sizes in ``entries.json`` up to date; names of the entries that were not."""
    known: dict[str, int] = {}
    changed, lines = [], []
    for entry, raw in zip(entries(), json.loads(PATH.read_text(encoding='utf-8')), strict=True):
        network = f'{entry.config} {entry.options} {entry.data == "ImageNet"}'
        if network not in known:
            known[network] = computed(entry)
        if raw.get('numbers') != known[network]:
            changed.append(entry.name)
        lines.append(json.dumps({**raw, 'numbers': known[network]}))
    if changed:
        write_text(str(PATH), '[\n' + ',\n'.join(lines) + '\n]\n')
    return changed
