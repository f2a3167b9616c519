"""Stored outputs of PaddleSeg's networks of one scale.

A name is ``[odd_]<what>[_s<stride>][_ch<every how many-th channel>]``.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from parity import reference_run, stored

from openseg_plugin.converters.checkpoints import Conversion

RUNS = {'': 'eval_input', 'odd_': 'odd_input'}
# the two ways in which ISANet's logits are brought to the size of the image
UPSAMPLING = {'logits_up_ac_false_mode1': 'top_left', 'logits_up_ac_true': True}


def errors(fixture: stored.Stored, conversion: Conversion) -> dict[str, float]:
    """Largest relative difference of every recorded output."""
    found = {}
    for prefix, run in RUNS.items():
        wanted = {
            name: value
            for name, value in fixture.outputs.items()
            if name.startswith('odd_') == bool(prefix)
        }
        if not wanted:
            continue
        image = stored.image(fixture.meta[f'{run}_shape'], fixture.meta[f'{run}_seed'])
        seen = outputs(conversion, torch.from_numpy(image).double(), window_of(fixture))
        for name, expected in wanted.items():
            what, step = re.fullmatch(
                r'(?:odd_)?(.+?)(?:_s\d+)?(?:_ch(\d+))?', name
            ).groups()  # fmt: skip
            found[name] = stored.error(seen[what][:, :: int(step or 1)], expected)
    return found


def window_of(fixture: stored.Stored) -> dict[str, Any]:
    """The option of ISANet that no weight tells."""
    window = fixture.meta.get('hyper', {}).get('down_factor')
    return {'decode_head__windows': [window]} if window else {}


@torch.no_grad()
def outputs(
    conversion: Conversion, image: torch.Tensor, options: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """Everything that is recorded of an image (N, 3, H, W)."""
    model = reference_run.build(conversion, **options)
    feats = model.extract_feat(image)
    head = model.decode_head
    seen = {'logits_up': model.inference(image), 'backbone': head._transform_inputs(feats)}
    if conversion.method == 'ocr':
        seen['aux'], seen['logits'] = head(feats)
    else:
        seen['logits'] = head.final_logits(feats)
        if model.with_auxiliary_head:
            seen['aux'] = model.auxiliary_head(feats)
    if conversion.method == 'isa':
        seen |= {'c3': feats[2], 'c4': feats[3]}
        for name, convention in UPSAMPLING.items():
            model = reference_run.build(
                conversion, decode_head__align_corners=convention, **options
            )
            seen[name] = model.inference(image)
    return {name: x.numpy() for name, x in seen.items()}
