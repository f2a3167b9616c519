"""tools/test.py --report, openseg report and openseg curves, as commands."""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import toy_run
from in_one_test import in_one_test
from mmengine.config import Config
from PIL import Image
from toy_test_set import write_test_set

from openseg_plugin.cli import curves, report
from openseg_plugin.cli.main import run
from openseg_plugin.cli.test import _set_backend, build_parser, main
from openseg_plugin.engine.hooks.report import flattened, protocol_of, sampling_text
from openseg_plugin.engine.hooks.visualization import ignored_label
from openseg_plugin.inference.multi_scale_flip import threshold_of
from openseg_plugin.registry import METRICS, MODELS
from openseg_plugin.report.results import SAMPLING, read_results


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    return write_test_set(tmp_path_factory.mktemp('toy'))


def _test(files, work: Path, *arguments: object) -> int:
    from unittest import mock

    name = f'experiment_name=r{abs(hash(work))}'
    rest = ['--work-dir', work, *arguments, '--cfg-options', name, f'visualizer.name={name}']
    with mock.patch('mmengine.config.config.FormatCode', toy_run.as_it_is, create=True):
        return run(main, [str(word) for word in (*files, *rest)])


@pytest.fixture(scope='module')
def tested(files, tmp_path_factory) -> Path:
    """A folder of ``--report``, beside the metrics of the same test in ``work``."""
    root = tmp_path_factory.mktemp('tested')
    assert _test(files, root / 'work', '--report', root / 'report') == 0
    return root


def test_report_agrees_with_the_metric_to_the_last_digit(tested):
    results = read_results(tested / 'report')
    content = json.loads((tested / 'report' / 'report.json').read_text())
    means = json.loads((tested / 'work' / 'test' / 'metrics.json').read_text())['means']
    for name in ('aAcc', 'mIoU', 'mAcc'):
        assert round(content['metrics'][name], 2) == means[name]
    assert results.totals().confusion.sum() == 5 * 36 * 48


def test_sums_of_the_report_equal_the_metric_that_leaves_out_another_label(files, tmp_path):
    folders = '--report', tmp_path / 'report', '--show-dir', tmp_path / 'shown'
    option = '--cfg-options', 'test_evaluator.ignore_index=0'
    assert _test(files, tmp_path / 'work', *folders, *option) == 0
    results = read_results(tmp_path / 'report')
    labels = [np.asarray(Image.open(one.label)) for one in results.images]
    confusion = results.totals().confusion
    assert confusion.sum() == np.count_nonzero(labels) < 5 * 36 * 48
    assert confusion[0].sum() == 0
    content = json.loads((tmp_path / 'report' / 'report.json').read_text())
    means = json.loads((tmp_path / 'work' / 'test' / 'metrics.json').read_text())['means']
    assert content['ignore_index'] == 0
    for name in ('aAcc', 'mIoU', 'mAcc'):
        assert round(content['metrics'][name], 2) == means[name]


@pytest.mark.parametrize(
    ('settings', 'expected'),
    [
        ([('IoUMetric', {})], 255),
        ([('BoundaryF', dict(ignore_index=9)), ('IoUMetric', dict(ignore_index=3))], 3),
        ([('PixAccMetric', dict(ignore_index=4))], 4),
    ],
    ids=['default', 'of the IoU', 'another metric'],
)
def test_drawings_leave_out_the_label_that_the_metric_does(settings, expected):
    built = [METRICS.build(dict(type=f'openseg_plugin.{name}', **how)) for name, how in settings]
    assert ignored_label(built) == expected


def test_report_says_how_it_was_tested(tested, files):
    results = read_results(tested / 'report')
    assert len(results.protocol['checkpoint SHA-256']) == 64
    assert results.protocol['config'] == str(files[0])
    assert 'torch' in results.protocol['versions']
    assert results.config['model.decode_head.num_classes'] == '3'
    assert results.protocol[SAMPLING] == 'every pixel'
    assert sampling_text({4, 1}) == 'one pixel of each 1 x 1 to 4 x 4, by the size of the image'
    page = (tested / 'report' / 'index.html').read_text(encoding='utf-8')
    assert results.protocol['checkpoint SHA-256'] in page


def test_report_names_the_options_that_change_the_numbers(monkeypatch):
    def protocol(*words: str) -> dict[str, str]:
        args = build_parser().parse_args(['MODEL', *words])
        _set_backend(args)
        args.checkpoint = 'weights.onnx'
        return protocol_of(args)

    plain, half = protocol(), protocol('--precision', 'bf16', '--compile')
    assert (plain['precision'], plain['backend']) == ('fp32', 'torch')
    assert {'exact', 'compiled'}.isdisjoint(plain)
    assert (half['precision'], half['compiled']) == ('bf16', 'True')
    assert protocol('--exact')['exact'] == 'True'
    for name in ('exported.for_backend', 'models.resolve'):
        monkeypatch.setattr(f'openseg_plugin.inference.{name}', lambda *_, **__: 'weights.onnx')
    option = '--cfg-options', 'model.a=1'
    exported = protocol('--backend', 'openvino', '--precision', 'bf16', *option)
    assert (exported['precision'], exported['backend']) == ('bf16', 'openvino')
    assert exported['cfg options'] == "{'model.a': 1}"


def test_report_holds_confidences_that_agree_with_the_pixels(tested):
    totals = read_results(tested / 'report').totals()
    right = np.trace(totals.confusion[:, :-1])
    assert totals.confidence[1, 0].sum() == right
    assert totals.confidence[:, 0].sum() == totals.confusion.sum()
    assert totals.seconds > 0


def test_report_is_rebuilt_from_its_folder_when_images_are_gone(tested, files, tmp_path, capsys):
    folder = tmp_path / 'moved'
    shutil.copytree(tested / 'report', folder)
    content = json.loads((folder / 'report.json').read_text())
    content['images'][0]['image'] = str(tmp_path / 'gone.png')
    (folder / 'report.json').write_text(json.dumps(content))
    (folder / 'index.html').unlink()
    assert run(report.main, [str(folder)]) == 0
    printed = capsys.readouterr().out
    assert 'gone.png' in printed
    assert 'baseline: mIoU' in printed
    assert str(folder / 'index.html') in printed
    assert (folder / 'index.html').exists()


def test_report_with_few_images_draws_those(files, tmp_path):
    assert _test(files, tmp_path / 'w', '--report', tmp_path / 'r', '--report-images', 2) == 0
    assert len(list((tmp_path / 'r' / 'samples').iterdir())) == 2
    assert len(read_results(tmp_path / 'r').images) == 5


@pytest.mark.parametrize(
    ('arguments', 'named'),
    [
        (['--report-images', '3'], '--report'),
        (['--report', 'DIR', '--format-only', '--out', 'OUT'], '--format-only'),
        (['--report', 'DIR', '--report-images', '-1'], '-1'),
        (['--report', 'FILE'], 'is a file'),
    ],
)
def test_report_options_that_do_not_fit_are_named(files, tmp_path, capsys, arguments, named):
    (tmp_path / 'FILE').write_text('')
    words = [str(tmp_path / word) if word.isupper() else word for word in arguments]
    assert _test(files, tmp_path / 'w', *words) == 2
    assert named in capsys.readouterr().err


def test_report_with_segfix_knows_both_predictions(files, tmp_path):
    offsets = tmp_path / 'offsets'
    offsets.mkdir()
    from openseg_plugin.segfix.offset_files import offset_bytes

    steps = np.zeros((36, 48, 2), np.int8)
    steps[:, :-2] = 0, 1
    for k in range(5):
        (offsets / f'{k:02}.png').write_bytes(offset_bytes(steps, '.png'))
    arguments = ('--segfix', offsets, '--report', tmp_path / 'r')
    assert _test(files, tmp_path / 'w', *arguments) == 0
    totals = read_results(tmp_path / 'r').totals()
    assert totals.distance_before.sum() > 0
    assert 'without SegFix' in (tmp_path / 'r' / 'index.html').read_text()


def _folders(tested: Path) -> list[str]:
    labels = tested / 'report' / 'labels'
    return ['--labels', str(labels / 'prediction'), '--gt', str(labels / 'ground_truth')]


def test_label_maps_of_any_tool_give_the_same_counts(tested, tmp_path, capsys):
    classes = tmp_path / 'classes.txt'
    classes.write_text('dark\nmiddle\nbright\n')
    (tmp_path / 'images').mkdir()
    shutil.copy(next((tested / 'report').rglob('*.png')), tmp_path / 'images')
    words = [str(tmp_path / 'out'), *_folders(tested), '--classes', str(classes)]
    assert run(report.main, [*words, '--images', str(tmp_path / 'images')]) == 0
    assert 'predictions without image: 4, such as' in capsys.readouterr().out
    made, known = read_results(tmp_path / 'out'), read_results(tested / 'report')
    assert made.classes == known.classes
    assert made.protocol['classes'] == str(classes)
    assert {'versions', 'command'} <= set(made.protocol)
    assert np.array_equal(made.totals().confusion, known.totals().confusion)


def test_two_tests_are_compared(tested, files, tmp_path, capsys):
    assert _test(files, tmp_path / 'w', '--aug-test', '--report', tmp_path / 'b') == 0
    capsys.readouterr()
    words = [str(tested / 'report'), str(tmp_path / 'b'), '--out', str(tmp_path / 'c')]
    assert run(report.main, [*words, '--names', 'plain', 'augmented', '--json']) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown['tests'] == ['plain', 'augmented'] and 'mIoU' in shown['metrics']
    assert run(report.main, [*words, '--names', 'plain', 'augmented']) == 0
    assert 'augmented' in capsys.readouterr().out
    content = json.loads((tmp_path / 'c' / 'compare.json').read_text())
    assert content['tests'] == ['plain', 'augmented']
    assert any(row[0] == 'aug test' for row in content['settings'])
    # merged views have probabilities, too
    assert content['metrics']['ECE']['values'][1] is not None
    assert (tmp_path / 'c' / 'index.html').exists()


@in_one_test(
    ('arguments', 'named'),
    [
        (['NONE'], 'report.json'),
        (['A', '--labels', 'B'], '--gt'),
        (['A', '--classes', 'B'], '--labels'),
        (['A', '--out', 'B'], '--out'),
        (['A', 'B', '--labels', 'C', '--gt', 'D'], 'one folder'),
        (['A', 'B', '--out', 'A'], 'is an input'),
        (['A', '--labels', 'A', '--gt', 'B'], 'is an input'),
        (['A', 'B', '--names', 'x'], '--names'),
        (['A', '--labels', 'NONE', '--gt', 'B'], 'NONE'),
        (['A', '--max-mb', '0'], '--max-mb'),
    ],
)
def test_bad_arguments_of_report_cost_one_sentence(tmp_path, monkeypatch, capsys, arguments, named):
    monkeypatch.chdir(tmp_path)
    assert run(report.main, arguments) == 2
    error = capsys.readouterr().err
    assert named in error
    assert len(error.splitlines()) == 1


@pytest.fixture(scope='module')
def trained(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('trained')
    data = toy_run.write_data(root / 'data')
    config = toy_run.toy_config(root, data)
    curves = 'default_hooks.curves.type=openseg_plugin.CurvesHook'
    assert toy_run.train(config, root / 'work', curves) == 0
    return root / 'work'


def test_training_keeps_curves_and_writes_the_matrix_of_every_validation(trained):
    assert (trained / 'curves.png').read_bytes().startswith(b'\x89PNG')
    tables = sorted(trained.glob('*/vis_data/confusion_*.csv'))
    assert [path.stem for path in tables] == ['confusion_4', 'confusion_8']
    assert len(list(trained.glob('*/vis_data/confusion_*.png'))) == 2
    rows = list(csv.reader(tables[0].read_text().splitlines()))
    assert sum(int(cell) for row in rows[1:] for cell in row[1:]) == 10 * 12 * 16


def test_curves_draws_a_run_and_tells_its_best_values(trained, tmp_path, capsys):
    out = tmp_path / 'curves'
    assert run(curves.main, [str(trained), '--out', str(out), '--csv', '--names', 'toy']) == 0
    printed = capsys.readouterr().out
    assert 'mIoU' in printed
    assert {path.name for path in out.iterdir()} >= {'curves.png', 'curves.csv', 'index.html'}
    rows = list(csv.DictReader((out / 'curves.csv').read_text().splitlines()))
    assert {row['scalar'] for row in rows} >= {'loss', 'lr', 'mIoU', 'images/s', 'memory'} - {
        'memory'
    }


@pytest.mark.parametrize(
    ('arguments', 'named'), [(['.'], 'scalars.json'), (['.', '--smooth', '1'], '--smooth')]
)
def test_bad_arguments_of_curves_cost_one_sentence(tmp_path, monkeypatch, capsys, arguments, named):
    monkeypatch.chdir(tmp_path)
    assert run(curves.main, arguments) == 2
    assert named in capsys.readouterr().err


def _page_of_a_one_channel_model(folder: Path, settings: dict) -> str:
    from openseg_plugin.report.collect import count_image
    from openseg_plugin.report.page import write_report
    from openseg_plugin.report.results import Results, TestedImage

    label = np.zeros((8, 8), np.uint8)
    label[:, 4:] = 1
    foreground = np.where(label == 1, 0.4, 0.2).astype(np.float32)
    path = folder / 'label.png'
    Image.fromarray(label).save(path)
    counts = count_image(label * 0, label, num_classes=2, foreground=foreground)
    image = TestedImage('a', (8, 8), counts, None, path, path)
    results = Results(
        ('background', 'road'),
        ((0, 0, 0), (0, 200, 0)),
        255,
        (image,),
        config=flattened(settings),
    )
    write_report(folder / 'out', results)
    return (folder / 'out' / 'index.html').read_text(encoding='utf-8')


def test_one_channel_models_get_a_threshold_and_the_option_that_sets_it(tmp_path):
    page = _page_of_a_one_channel_model(tmp_path, {})
    assert '--cfg-options model.decode_head.threshold=0.30' in page


@pytest.mark.parametrize('stages', [1, 2])
def test_option_on_the_page_changes_the_threshold_of_the_head_that_predicts(tmp_path, stages):
    classes = dict(num_classes=2, out_channels=1, threshold=0.7)
    head = dict(type='mmseg.FCNHead', in_channels=4, channels=4, **classes)
    kind = 'EncoderDecoder' if stages == 1 else 'CascadeEncoderDecoder'
    model = dict(
        type=f'mmseg.{kind}',
        backbone=dict(type='openseg_plugin.StandInBackbone', channels=(4,), strides=(4,)),
        decode_head=head if stages == 1 else [dict(head) for _ in range(stages)],
        **({} if stages == 1 else dict(num_stages=stages)),
    )
    page = _page_of_a_one_channel_model(tmp_path, dict(model=model))
    option = re.search(r'--cfg-options (\S+?)<', page)[1]
    args = build_parser().parse_args(['CONFIG', '--cfg-options', option])
    cfg = Config(dict(model=model))
    cfg.merge_from_dict(args.cfg_options)
    assert threshold_of(MODELS.build(cfg.model)) == 0.3
