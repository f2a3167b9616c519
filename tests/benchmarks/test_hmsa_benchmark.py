"""``tools/benchmark.py hmsa``: multiply-adds, multiple scales, training, cost beside stock OCR."""

import json
import re

import pytest
import torch

from benchmarks import hmsa
from benchmarks.__main__ import main
from benchmarks.core import Setting

SIZE = ('--size', '128', '192', '--classes', '5', '--rounds', '1')
CASES = [
    'hmsa prediction',
    'hmsa prediction 5',
    'hmsa train with_cp',
    'hmsa ocr prediction',
    'hmsa ocr training',
]


@pytest.fixture(autouse=True)
def threads():
    """The benchmark sets the number of threads of the process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
def test_hmsa_measures_every_case_and_finds_the_results_of_the_recursion(tmp_path, capsys):
    assert main(['hmsa', *SIZE, '--json', str(tmp_path / 'metrics.json')]) == 0
    said = capsys.readouterr().out
    assert float(re.search(r'ratio ([\d.]+) \(at most', said).group(1)) <= hmsa.GATE
    results = json.loads((tmp_path / 'metrics.json').read_text())['results']
    assert [result['name'] for result in results] == CASES
    for result in results:
        assert result['is_equal']
        assert min(result['stock_ms'], result['ours_ms']) > 0


@pytest.mark.parametrize(
    ('device', 'expected'), [('cpu', (18, (64, 96))), ('cuda', (48, (128, 192)))]
)
def test_plan_is_the_whole_network_on_whole_crops_where_there_is_a_gpu(device, expected):
    assert hmsa.plan(Setting(size=(128, 192), device=device)) == expected


def test_multiply_adds_at_0_5_1_2_are_below_the_gate():
    setting = Setting(size=(256, 512))
    with torch.device('meta'):
        model = hmsa.network(48, setting)
        theirs = hmsa.multiply_adds(hmsa.reference, model, setting)
        ours = hmsa.multiply_adds(torch.nn.Module.__call__, model, setting)
    assert ours <= hmsa.GATE * theirs


@pytest.mark.parametrize(('scales', 'paddleseg_gb'), [(hmsa.THREE, 14.2), (hmsa.FIVE, 21.2)])
def test_tensors_of_a_prediction_are_well_under_half_of_what_paddleseg_needs(scales, paddleseg_gb):
    assert hmsa.prediction_peak(Setting(), scales) < paddleseg_gb * 1e9 / 3


@pytest.mark.parametrize('width', [18, 48])
def test_stock_ocr_is_that_of_mmseg_with_the_width_asked_for(width):
    with torch.device('meta'):
        model = hmsa.stock_ocr(width, Setting(classes=5))
        logits = model(torch.empty(1, 3, 64, 96))
    assert logits.shape[:2] == (1, 5)
    assert model.backbone.stage4[0].branches[0][0].conv1.out_channels == width
