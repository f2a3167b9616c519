"""``openseg test --batch-size``: several images at a time, with the results of one by one."""

import numpy as np
import pytest
import torch
from PIL import Image
from toy_test_set import write_test_set

from openseg_plugin.cli.test import main
from openseg_plugin.engine.runner import batch_size
from openseg_plugin.engine.runner.batch_size import EqualImages
from openseg_plugin.errors import ConfigError


@pytest.fixture
def files(tmp_path):
    """A config whose fourth image has another size than the rest, and weights."""
    config, checkpoint = write_test_set(tmp_path, number=6)
    for kind in ('image', 'label'):
        path = tmp_path / 'data' / 'val' / kind / '03.png'
        Image.fromarray(np.asarray(Image.open(path))[:25, :40]).save(path)
    return config, checkpoint


def sizes_of_passes(monkeypatch) -> list[int]:
    """Images of every pass through a segmentor, from now on."""
    taken: list[int] = []

    class Counting(EqualImages):
        def __init__(self, step):
            super().__init__(lambda data: taken.append(len(data['inputs'])) or step(data))

    monkeypatch.setattr('openseg_plugin.engine.runner.testing.EqualImages', Counting)
    return taken


def test_images_of_one_size_go_together_and_results_are_those_of_one_by_one(
    files, tmp_path, monkeypatch, capsys
):
    config, checkpoint = files
    taken = sizes_of_passes(monkeypatch)
    printed = {}
    for number in ('1', '4'):
        words = ['--batch-size', number, '--out', tmp_path / number, '--report', tmp_path / 'r']
        words += ['--show-dir', tmp_path / f'drawn{number}', '--work-dir', tmp_path / 'w']
        assert main([str(word) for word in (config, checkpoint, *words)]) == 0
        printed[number] = capsys.readouterr().out.splitlines()[-1]
    assert taken == [1] * 6 + [3, 1, 2]
    assert printed['1'] == printed['4']
    for one in sorted((tmp_path / '1').rglob('*.png')):
        other = tmp_path / '4' / one.relative_to(tmp_path / '1')
        assert np.array_equal(Image.open(one), Image.open(other)), one.name
    drawn = [sorted(p.name for p in (tmp_path / f'drawn{n}').rglob('*.*')) for n in '14']
    assert len(drawn[0]) == 6 and drawn[0] == drawn[1]


def test_a_cpu_takes_one_image_and_a_gpu_several(files, monkeypatch):
    from openseg_plugin.cli.test import build_parser
    from openseg_plugin.engine.runner.testing import testing_config

    config, checkpoint = map(str, files)
    for device, more, expected in (
        ('cpu', [], 1),
        ('cuda', [], 4),
        ('cuda', ['--aug-test'], 1),
        ('cpu', ['--batch-size', '3'], 3),
        ('cpu', ['--cfg-options', 'test_dataloader.batch_size=2'], 2),
    ):
        monkeypatch.setattr(batch_size, 'get_device', lambda device=device: device)
        cfg = testing_config(build_parser().parse_args([config, checkpoint, *more]))
        assert cfg.test_dataloader.batch_size == expected, (device, more)
    with pytest.raises(ConfigError, match='--aug-test the views of one image are the batch'):
        words = [config, checkpoint, '--aug-test', '--batch-size', '2']
        testing_config(build_parser().parse_args(words))


def test_half_as_many_are_taken_where_memory_does_not_suffice():
    passes = []

    def step(data):
        passes.append(len(data['inputs']))
        if len(data['inputs']) > 2:
            raise torch.cuda.OutOfMemoryError('no')
        return [int(one[0, 0, 0]) for one in data['inputs']]

    images = [torch.full((3, 2, 2), float(k)) for k in range(7)]
    grouped = EqualImages(step)
    assert grouped(dict(inputs=images, data_samples=images)) == list(range(7))
    assert passes == [7, 3, 1, 1, 1, 1, 1, 1, 1]
    with pytest.raises(torch.cuda.OutOfMemoryError):
        EqualImages(lambda data: step(dict(inputs=[0] * 3)))(dict(inputs=images[:1]))
