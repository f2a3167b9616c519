"""Curves: sessions are joined, restarts and NaN marked, stock runs read, nothing executed."""

import csv
import json
import re
import warnings
from pathlib import Path

import numpy as np
import pytest

from openseg_plugin.errors import DataError
from openseg_plugin.report.curves import (
    best_values,
    read_run,
    scalar_names,
    smooth,
    write_csv,
    write_curves_page,
    write_png,
)


def _session(work: Path, stamp: str, records: list[dict], *, config: str = '') -> Path:
    folder = work / stamp / 'vis_data'
    folder.mkdir(parents=True)
    lines = '\n'.join(json.dumps(one) for one in records)
    (folder / 'scalars.json').write_text(f'{lines}\n')
    if config:
        (folder / 'config.py').write_text(config)
    return folder


def _training(step: int, loss: float, **other: float) -> dict:
    return {'lr': 0.1, 'loss': loss, 'time': 0.5, 'iter': step, 'step': step, **other}


def test_a_resumed_run_is_joined_and_its_restart_known(tmp_path):
    _session(tmp_path, '20260101_000000', [_training(i, float(i)) for i in (10, 20, 30, 40)])
    _session(tmp_path, '20260102_000000', [_training(i, -float(i)) for i in (30, 40, 50)])
    run = read_run(tmp_path)
    assert run.curves['loss'].iterations.tolist() == [10, 20, 30, 40, 50]
    assert run.curves['loss'].values.tolist() == [10, 20, -30, -40, -50]
    assert run.restarts == [30]


def test_losses_that_are_not_finite_are_marked_and_left_out_of_the_average(tmp_path):
    losses = [1.0, float('nan'), float('inf'), 2.0]
    _session(tmp_path, 's', [_training(10 * i, loss) for i, loss in enumerate(losses, 1)])
    run = read_run(tmp_path)
    assert run.invalid == [20, 30]
    smoothed = smooth(run.curves['loss'].values, 0.5)
    assert np.isnan(smoothed[1:3]).all()
    # weights 0.25 and 0.5 of the two values there are
    assert smoothed[3] == pytest.approx((0.25 * 1 + 0.5 * 2) / 0.75)


def test_validations_of_a_run_by_epochs_stand_at_its_iterations(tmp_path):
    records = [_training(100, 1.0, epoch=1), {'mIoU': 40.0, 'step': 1}]
    records += [_training(200, 0.5, epoch=2), {'mIoU': 50.0, 'step': 2}]
    _session(tmp_path, 's', records)
    assert read_run(tmp_path).curves['mIoU'].iterations.tolist() == [100, 200]


def test_speed_counts_images_of_all_processes_and_the_config_is_never_executed(tmp_path):
    marker = tmp_path / 'executed'
    config = f'open({str(marker)!r}, "w")\ntrain_dataloader = dict(batch_size=4)\n'
    folder = _session(tmp_path, 's', [_training(10, 1.0)], config=config)
    (folder.parent / 's.log').write_text('Distributed training: True\nGPU number: 2\n')
    assert read_run(tmp_path).curves['images/s'].values.tolist() == [16]
    assert not marker.exists()


def test_speed_without_a_config_is_in_iterations(tmp_path):
    _session(tmp_path, 's', [_training(10, 1.0)])
    assert read_run(tmp_path).curves['iterations/s'].values.tolist() == [2]


def test_a_line_cut_short_by_a_crash_is_skipped(tmp_path):
    folder = _session(tmp_path, 's', [_training(10, 1.0)])
    with (folder / 'scalars.json').open('a') as file:
        file.write('{"loss": 0.')
    assert read_run(tmp_path).curves['loss'].iterations.tolist() == [10]


@pytest.mark.parametrize('given', ['work', 'session', 'file'])
def test_a_run_is_found_from_its_folder_a_session_or_a_file(tmp_path, given):
    folder = _session(tmp_path / 'work', 's', [_training(10, 1.0)])
    places = {'work': tmp_path / 'work', 'session': folder.parent, 'file': folder / 'scalars.json'}
    assert 'loss' in read_run(places[given]).curves


def test_folders_without_scalars_are_named(tmp_path):
    with pytest.raises(DataError, match=str(tmp_path)):
        read_run(tmp_path)
    _session(tmp_path, 's', [])
    with pytest.raises(DataError, match=r'scalars\.json'):
        read_run(tmp_path)


def test_best_values_are_low_losses_and_high_metrics_with_their_step(tmp_path):
    records = [_training(i, loss) for i, loss in ((10, 3.0), (20, 1.0), (30, 2.0))]
    records += [{'mIoU': value, 'step': i} for i, value in ((10, 5.0), (20, 9.0), (30, 7.0))]
    _session(tmp_path, 's', records)
    rows = {row.scalar: row for row in best_values([read_run(tmp_path, name='r')])}
    assert (rows['loss'].best, rows['loss'].best_step, rows['loss'].last) == (1, 20, 2)
    assert (rows['mIoU'].best, rows['mIoU'].best_step) == (9, 20)
    assert 'lr' not in rows


def test_runs_are_drawn_and_written_out(tmp_path):
    runs = []
    for name in ('a <b>$x', '_b', '道路 $'):
        records = [_training(i, 1 / i, **{'decode.loss_ce': 0.5 / i}) for i in range(1, 500)]
        _session(tmp_path / name, 's', [*records, {'mIoU': 3.0, 'step': 400}])
        runs.append(read_run(tmp_path / name))
    assert scalar_names(runs)[:3] == ['loss', 'decode.loss_ce', 'mIoU']
    with warnings.catch_warnings():
        warnings.simplefilter('error')  # such as of characters that a font lacks
        write_png(tmp_path / 'curves.png', runs)
    assert (tmp_path / 'curves.png').read_bytes().startswith(b'\x89PNG')
    write_csv(tmp_path / 'curves.csv', runs)
    rows = list(csv.DictReader((tmp_path / 'curves.csv').read_text().splitlines()))
    assert {row['run'] for row in rows} == {'a <b>$x', '_b', '道路 $'}
    write_curves_page(tmp_path / 'page', runs)
    page = (tmp_path / 'page' / 'index.html').read_text(encoding='utf-8')
    assert 'a &lt;b&gt;$x' in page
    assert '<b>$x' not in page
    assert 'weight 0.8' in page
    # keys have the dashes of their lines
    assert re.findall(r'class="key".*?class="line (s.)"', page)[:3] == ['s0', 's1', 's2']
