"""tools/benchmark.py segfix: the results of the original's steps, one operation at a time."""

import json

import cv2
import pytest
import torch

from benchmarks.__main__ import main
from openseg_plugin.errors import ConfigError


@pytest.fixture(autouse=True)
def threads():
    """The benchmark sets the number of threads of the process."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    yield
    torch.set_num_threads(before[0])
    cv2.setNumThreads(before[1])


@pytest.mark.parametrize(('operation', 'number'), [('refine', 1), ('targets', 1), ('apply', 2)])
def test_main_of_an_operation_finds_the_results_of_the_original(operation, number, tmp_path):
    metrics = tmp_path / 'metrics.json'
    arguments = ['--op', operation, '--size', '97x131', '--rounds', '1', '--json', str(metrics)]
    assert main(['segfix', *arguments]) == 0
    content = json.loads(metrics.read_text())
    assert content['setting']['size'] == [97, 131]
    assert [operation in result['name'] for result in content['results']] == [True] * number
    assert all(result['is_equal'] for result in content['results'])


@pytest.mark.parametrize('size', [['97'], ['97', '131', '3'], ['axb']])
def test_main_with_an_impossible_size_is_refused(size):
    with pytest.raises(ConfigError, match='H W or HxW'):
        main(['segfix', '--size', *size])
