"""A target that cannot be written in a real process, folders inside each other, stray annotations.

``ulimit -f`` stands for a full disk: it fails in the middle of a write, in every process.
"""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_sets import image, make_cityscapes, save, write_json

from openseg_plugin.cli.convert_dataset import main
from openseg_plugin.converters.datasets import Settings, convert
from openseg_plugin.errors import DataError
from openseg_plugin.utils import files

PROJECT = Path(__file__).parents[3]
LIMIT = 4000  # bytes: all but the large image fit


def run_tool(*arguments: str, limit: int | None = None) -> subprocess.CompletedProcess:
    def give_limit() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    command = [sys.executable, str(PROJECT / 'tools' / 'convert_dataset.py'), *arguments]
    return subprocess.run(
        command, preexec_fn=give_limit, capture_output=True, text=True, timeout=120, check=False
    )


def test_write_that_fails_half_way_in_a_process_leaves_whole_files(tmp_path: Path) -> None:
    raw, dst = make_cityscapes(tmp_path / 'raw'), tmp_path / 'dst'
    large = max(raw.glob('leftImg8bit/train/bochum/*.png'))
    large.write_bytes(large.read_bytes() + bytes(2 * LIMIT))
    arguments = ['cityscapes', str(raw), str(dst), '--split', 'train', '--link-mode', 'copy']
    done = run_tool(*arguments, '--keep-going', limit=LIMIT)
    assert done.returncode != 0 and 'Traceback' not in done.stderr
    assert f'cannot write {dst}/train/image/bochum_000001' in done.stderr
    assert 'ulimit -f' in done.stderr
    kept = list(dst.glob('train/image/*.png'))
    assert len(kept) == len(list(dst.glob('train/label/*.png'))) == 3
    assert not (dst / files.PARTIAL).exists()
    done = run_tool(*arguments)
    assert done.returncode == 0 and '1 made, 3 were there, 0 failed' in done.stdout


def test_folders_inside_each_other_are_refused(tmp_path: Path) -> None:
    raw = make_cityscapes(tmp_path / 'raw')
    with pytest.raises(DataError, match=r'/raw/out .*/raw'):
        convert('cityscapes', raw, raw / 'out', settings=Settings())
    with pytest.raises(DataError, match=r'/raw '):
        convert('cityscapes', raw, tmp_path, settings=Settings())
    assert not (raw / 'out').exists() and not (tmp_path / 'dataset.json').exists()


def test_annotation_of_an_unlisted_image_does_not_stop_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / 'raw/a.png', image())
    square = {'category_id': 7, 'segmentation': [[2, 2, 9, 2, 9, 9]]}
    content = {
        'images': [{'id': 1, 'file_name': 'a.png', 'height': 24, 'width': 32}],
        'annotations': [{'id': 1, 'image_id': 1, **square}, {'id': 2, 'image_id': 5, **square}],
        'categories': [{'id': 7, 'name': 'wire'}],
    }
    source = write_json(tmp_path / 'raw/mine.json', content)
    arguments = ['coco_polygons', str(tmp_path / 'raw'), str(tmp_path / 'dst')]
    with pytest.raises(DataError, match=r'mine\.json .*image 5'):
        main(arguments)
    assert main([*arguments, '--keep-going']) == 1
    assert f'{source} has annotations of image 5' in capsys.readouterr().out
    assert (tmp_path / 'dst/train/label/a.png').is_file()
    stored = json.loads((tmp_path / 'dst/dataset.json').read_text())['splits']['train']
    assert len(stored['failures']) == 1
