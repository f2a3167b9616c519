"""Whole networks: reference weights -> conversion -> the config that fits -> the same outputs."""

import re

import numpy as np
import pytest
from parity import (
    catalog,
    jpu_zoo_outputs,
    nvidia_outputs,
    openseg_outputs,
    paddleseg_hmsa_outputs,
    paddleseg_outputs,
    recipe_text,
    reference_run,
    segfix_outputs,
    stored,
)

from openseg_plugin.converters.checkpoints import Conversion
from openseg_plugin.converters.checkpoints.sources import SOURCES

TOLERANCE = 1e-5  # of the largest value, in float64
# of HRNet-OCR's datasets: a plain network's file tells its align_corners by them alone
PUBLISHED_CLASSES = (19, 20, 59, 60, 150, 171)
# HRNet-OCR's names of what is recorded
HRNET_OCR_NAMES = {
    'aux': 'aux_low',
    'logits': 'seg_low',
    'object_regions': 'object_ctx',
    'ocr_feats': 'feat',
}


@pytest.mark.parametrize(('family', 'name'), catalog.params('network'))
def test_network_gives_the_reference_outputs(family, name):
    fixture = stored.read(catalog.files()[family, name], family)
    conversion = reference_run.converted(fixture)
    assert conversion.source.name == {'jpu_zoo': 'pytorchcv'}.get(family, family)
    assert conversion.num_classes == fixture.meta['num_classes']
    compare = {
        'openseg': openseg_outputs.errors,
        'hrnet_ocr': hrnet_ocr_errors,
        'nvidia': nvidia_outputs.errors,
        'paddleseg': paddleseg_outputs.errors,
        'jpu_zoo': jpu_zoo_outputs.errors,
    }[family]
    if conversion.method == 'segfix':
        compare = segfix_outputs.errors
    if family == 'paddleseg' and conversion.method == 'hmsa':
        compare = paddleseg_hmsa_outputs.errors
    errors = compare(fixture, conversion)
    assert errors.keys() == fixture.outputs.keys()
    limits = {output: tolerance(fixture, output) for output in errors}
    too_large = {
        output: f'{value:.1e} instead of {limits[output]:.1e}'
        for output, value in errors.items()
        if value > limits[output]
    }
    assert not too_large, f'beyond the limit: {too_large}'


def tolerance(fixture: stored.Stored, output: str) -> float:
    """How far our float64 run may be from the stored numbers: 1e-5, unless these are float32.

    openseg, paddleseg: the reference ran in float64: 1e-5 for every output.
    jpu_zoo: it ran in float32. How far its own float64 run is from what was stored is recorded for
    every output, so that is the bound where it is above 1e-5.
    hrnet_ocr, nvidia: it ran in float32, and what was recorded is what an input noise of 1e-6 does
    to it, about as much as float32 rounding: that is the bound.
    """
    meta = fixture.meta
    if 'float64_deviation' in meta:
        return max(TOLERANCE, 1.05 * meta['float64_deviation'][output])  # written with two digits
    if 'float64' in meta.get('compute_dtype', meta.get('precision', '')):
        return TOLERANCE
    noise = meta.get('sensitivity_to_1e6_input_noise', TOLERANCE)
    return max(TOLERANCE, *(noise.values() if isinstance(noise, dict) else [noise]))


def hrnet_ocr_errors(fixture: stored.Stored, conversion: Conversion) -> dict[str, float]:
    meta, outputs = fixture.meta, fixture.outputs
    seed, aligned = meta['eval_input_seed'], meta['align_corners']
    if conversion.num_classes in PUBLISHED_CLASSES:
        assert conversion.align_corners == aligned
    image = stored.image(meta['eval_input_shape'], seed)
    seen = hrnet_ocr_run(conversion, image, aligned)
    actual = {theirs: seen[ours] for theirs, ours in HRNET_OCR_NAMES.items() if theirs in outputs}
    for name in outputs:
        if step := re.fullmatch(r'logits_up_sub(\d+)', name):
            actual[name] = seen['seg_up'][:, :, :: int(step[1]), :: int(step[1])]
    if meta.get('eval_input_shape_odd'):
        odd = stored.image(meta['eval_input_shape_odd'], seed)
        seen = hrnet_ocr_run(conversion, odd, aligned)
        actual |= {
            f'{theirs}_odd': seen[ours]
            for theirs, ours in HRNET_OCR_NAMES.items()
            if f'{theirs}_odd' in outputs
        }
    opposite = f'logits_align_corners_{not aligned}'
    if opposite in outputs:
        actual[opposite] = hrnet_ocr_run(conversion, image, not aligned)['seg_low']
    actual = {k: v[:, :: recipe_text.channel_step(meta['outputs'][k])] for k, v in actual.items()}
    return stored.errors(actual, outputs)


def hrnet_ocr_run(conversion: Conversion, image: np.ndarray, aligned: bool) -> dict:
    """One pass with all resizes in this convention."""
    model = reference_run.build(
        conversion, backbone__align_corners=aligned, decode_head__align_corners=aligned
    )
    return reference_run.run(model, image)


def test_every_stored_result_has_a_test():
    keys = catalog.files()
    assert keys or catalog.elsewhere(), 'no stored results were found'
    unknown = [key for key in keys if catalog.kind(*key) == 'unknown']
    families = {family for family, _ in keys}
    foreign = families - {source.NAME for source in SOURCES} - {'jpu_zoo'}  # here: pytorchcv
    assert not unknown, f'nothing here knows what these are: {unknown}'
    assert not foreign, f'no converter knows these families: {foreign}'
