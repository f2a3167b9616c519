"""Images that decoders read without complaint that Python sees, and how the report draws them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import small_set
from PIL import Image

from openseg_plugin.cli.check_dataset import main
from openseg_plugin.data_checks.dataset_spec import Pair, Rules, Split
from openseg_plugin.data_checks.examine import Record
from openseg_plugin.data_checks.file_facts import StderrCapture, read_label_facts
from openseg_plugin.data_checks.report.html_report import palette_of, thumbnails


def jpeg(seed: int) -> bytes:
    image = np.random.default_rng(seed).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    return cv2.imencode('.jpg', image)[1].tobytes()


@pytest.fixture
def data(tmp_path) -> Path:
    """Folder of JPEG images, of which train/2 and val/1 are damaged in the middle."""
    data = small_set.write(tmp_path / 'data')
    for number, path in enumerate(sorted(data.glob('*/image/*.png'))):
        path.unlink()
        path.with_suffix('.jpg').write_bytes(jpeg(number))
    for path in small_set.labels(data):
        Image.fromarray(np.zeros((96, 128), np.uint8) + np.uint8(1)).save(path)
    for name in ('train/image/2.jpg', 'val/image/1.jpg'):
        content = bytearray((data / name).read_bytes())
        third = len(content) // 3
        content[third : 2 * third] = bytes(third)
        (data / name).write_bytes(content)
    return data


@pytest.mark.parametrize('splits', [['train', 'val'], ['train']])
@pytest.mark.parametrize('workers', ['1', '4'])
def test_jpeg_damaged_in_the_middle_is_named(data, tmp_path, capfd, splits, workers):
    arguments = [str(data), '--split', *splits, '--workers', workers]
    arguments += ['--cache', str(tmp_path / 'cache')]
    for _ in range(2):  # the second time from the cache
        assert main([*arguments, '--report', str(tmp_path / 'report')]) == 0
        output = capfd.readouterr()
        number = '2 images seem' if len(splits) == 2 else '1 image seems'
        assert f'{number} damaged inside; 2.jpg: Corrupt JPEG data' in output.out
        assert '--apply-fix damaged_image' not in output.out  # a quarter of all pixels
        assert 'JPEG' not in output.err
    listed = (tmp_path / 'report' / 'damaged_image.txt').read_text().splitlines()
    assert [Path(line).name for line in listed] == ['2.jpg', '2.png', '1.jpg', '1.png'][
        : 2 * len(splits)
    ]


def test_png_damaged_in_the_middle_cannot_be_read(data, tmp_path, capfd):
    path = data / 'train' / 'image' / '0.jpg'
    content = bytearray(cv2.imencode('.png', cv2.imread(str(path)))[1].tobytes())
    content[len(content) // 2 : len(content) // 2 + 500] = bytes(500)
    path.unlink()
    path.with_suffix('.png').write_bytes(content)
    assert main([str(data), '--cache', str(tmp_path / 'cache')]) == 1
    output = capfd.readouterr()
    assert '1 file cannot be read; 0.png' in output.out
    assert 'libpng' not in output.err


def test_our_own_messages_are_not_caught():
    code = (
        'import os, sys\n'
        'from openseg_plugin.data_checks.file_facts import StderrCapture\n'
        'with StderrCapture() as words:\n'
        '    start = words.size()\n'
        "    os.write(2, b'libpng warning: profile\\nCorrupt JPEG data: x\\n')\n"
        "    print('bar', file=sys.stderr)\n"
        '    print(words.since(start))\n'
        "os.write(2, b'after')\n"
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout == 'Corrupt JPEG data: x\n'
    assert done.stderr == 'bar\nafter'


def test_descriptors_are_given_back():
    before = len(os.listdir('/proc/self/fd')) if os.path.isdir('/proc/self/fd') else 0
    for _ in range(3):
        with StderrCapture():
            pass
    assert (len(os.listdir('/proc/self/fd')) if before else 0) == before


def test_ignored_and_wrong_pixels_are_patterns_that_no_class_has(tmp_path):
    values = np.zeros((300, 300), np.uint8)
    values[100:200], values[200:] = 255, 77
    Image.fromarray(values).save(tmp_path / 'a.png')
    rules = Rules(('a', 'b', 'c', 'd', 'e'))
    pair = Pair(None, tmp_path / 'a.png')
    record = Record(Split('train', [pair], rules), pair, None, read_label_facts(pair.label))
    ((caption, drawn),) = thumbnails(record)
    assert 'ignored' in caption and 'no class' in caption
    parts = [{tuple(c) for c in rows.reshape(-1, 3).tolist()} for rows in np.split(drawn[:258], 3)]
    assert parts[0] == {palette_of(rules)[0]}
    assert len(parts[1] - parts[0]) == 2 and len(parts[2] - parts[1]) == 2
    assert len(palette_of(rules)) == 5
    (shown,) = (one for _, one in thumbnails(record, only=0))
    # whatever its color, a class that is shown alone has it, and differs from the others
    assert {tuple(color) for color in shown[:80].reshape(-1, 3).tolist()} == {palette_of(rules)[0]}


@pytest.mark.parametrize('color', [(0, 0, 0), (250, 250, 250), (60, 60, 60), (215, 215, 215)])
def test_a_class_that_is_shown_alone_keeps_its_color_and_can_be_seen(tmp_path, color):
    values = np.ones((520, 520), np.uint8)
    values[7, 7] = 0  # one pixel, in an image that is drawn half as large
    Image.fromarray(values).save(tmp_path / 'a.png')
    rules = Rules(('a', 'b'), palette=(color, (9, 200, 9)))
    pair = Pair(None, tmp_path / 'a.png')
    record = Record(Split('train', [pair], rules), pair, None, read_label_facts(pair.label))
    ((_, drawn),) = thumbnails(record, only=0)
    assert tuple(drawn[3, 3]) == color
    assert abs(int(drawn[-1, 0, 1]) - color[1]) > 60


def test_report_has_a_legend_of_its_colors(tmp_path):
    data = small_set.write(tmp_path / 'data')
    arguments = ['--cache', str(tmp_path / 'cache'), '--report', str(tmp_path / 'report')]
    main([str(data), '--classes', *small_set.CLASSES, *arguments])
    page = (tmp_path / 'report' / 'index.html').read_text()
    legend = page.partition('<section id="classes"')[2].partition('</section>')[0]
    assert all(name in legend for name in (*small_set.CLASSES, 'ignored', 'no class'))
    assert len(re.findall(r'class="swatch[ "]', legend)) == 5
