"""tools/benchmark.py: same results as stock mmseg, metrics in a file, status 1 when they differ."""

import json

import pytest
import torch
from in_one_test import in_one_test

from benchmarks import memory, metric
from benchmarks.__main__ import main
from benchmarks.core import (
    Case,
    Setting,
    almost_all,
    exactly,
    kept_for_gradient,
    measure,
    within,
    within_norm,
)
from openseg_plugin.errors import ConfigError

SMALL = ('--size', '96', '160', '--classes', '5', '--rounds', '1')


@pytest.fixture(autouse=True)
def threads():
    """The benchmark sets the number of threads of the process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@in_one_test('name', ['postproc', 'slide', 'views', 'metric', 'loss', 'memory'])
def test_main_finds_the_results_of_stock_mmseg(name, tmp_path, capsys):
    assert main([name, *SMALL, '--json', str(tmp_path / 'metrics.json')]) == 0
    printed = capsys.readouterr().out
    content = json.loads((tmp_path / 'metrics.json').read_text())
    assert content['setting']['size'] == [96, 160]
    assert len(content['results']) >= 1
    for result in content['results']:
        assert result['is_equal']
        assert result['ratio'] > 0
        assert result['name'] in printed


@pytest.mark.slow
def test_main_of_the_whole_network_finds_the_results_of_stock_mmseg():
    assert main(['model', '--size', '128', '256', '--classes', '5', '--rounds', '1']) == 0


def test_main_with_another_result_ends_with_1(monkeypatch, capsys):
    def cases(setting):
        yield Case('wrong one', lambda: torch.zeros(3), lambda: torch.ones(3), exactly)

    monkeypatch.setattr(metric, 'cases', cases)
    assert main(['metric', *SMALL]) == 1
    assert 'DIFFERENT RESULTS: wrong one' in capsys.readouterr().out


def test_main_on_a_gpu_that_is_not_there_says_so(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(ConfigError, match='no GPU'):
        main(['metric', '--device', 'cuda'])


@pytest.mark.parametrize(
    'arguments', [['--rounds', '0'], ['--size', '0', '0'], ['--threads', '-1'], ['--size', '64']]
)
def test_main_with_an_impossible_number_names_the_argument(arguments):
    with pytest.raises(ConfigError, match=arguments[0]):
        main(['metric', *arguments])


def test_measure_counts_what_differs():
    one = torch.tensor([1.0, 2.0, 3.0])
    case = Case('x', lambda: one, lambda: one + torch.tensor([0.0, 0.5, 0.0]), within(0.1))
    result = measure(case, Setting(rounds=1))
    assert (result['differing'], result['max_error'], result['is_equal']) == (1, 0.5, False)


@pytest.mark.parametrize(('fraction', 'is_equal'), [(0.3, False), (0.4, True)])
def test_almost_all_bounds_the_fraction_of_pixels(fraction, is_equal):
    one, other = torch.tensor([1, 2, 3]), torch.tensor([1, 2, 4])
    assert almost_all(fraction)(one, other).is_equal is is_equal


def test_exactly_of_other_shapes_is_not_equal():
    assert not exactly(torch.zeros(2), torch.zeros(3)).is_equal


@pytest.mark.parametrize(('error', 'is_equal'), [(0.02, True), (0.2, False)])
def test_within_norm_lets_one_entry_differ_more_than_the_whole(error, is_equal):
    one = torch.full((100,), 1.0)
    other = one.index_fill(0, torch.tensor([3]), 1 + error)
    found = within_norm(0.01)(one, other)
    assert found.is_equal is is_equal
    assert found.max_error == pytest.approx(error)


@pytest.mark.parametrize(('scale', 'is_equal'), [(1.0, True), (1e-3, False)])
def test_within_bounds_each_tensor_by_itself(scale, is_equal):
    stock = [torch.ones(3), torch.full((3,), scale)]
    ours = [torch.ones(3), torch.full((3,), scale) + 5e-3]
    assert within(0.01)(stock, ours).is_equal is is_equal


def test_kept_for_gradient_counts_what_is_saved_once_and_no_weights():
    layer = torch.nn.Linear(3, 3, bias=False)
    x = torch.ones(5, 3, requires_grad=True)
    # the product keeps x, and the square of the product keeps the product
    assert kept_for_gradient(layer, lambda: layer(x).square()) == 2 * 5 * 3 * 4


def test_memory_of_another_function_is_found(monkeypatch):
    attention = memory._attention

    def changed():
        stock, ours = attention()
        ours.value_project.bias.data[0] += 1e-6
        return stock, ours

    monkeypatch.setattr(memory, '_PAIRS', {'base_oc': changed})
    assert main(['memory', *SMALL, '--op', 'float64']) == 1
