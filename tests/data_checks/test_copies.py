"""Copies of images across splits: in another format, encoding or size; like ones are none."""

import shlex
from pathlib import Path

import cv2
import numpy as np
import pytest
import small_set
from in_one_test import in_one_test
from PIL import Image

from openseg_plugin.cli.check_dataset import main
from openseg_plugin.data_checks.perceptual_hash import (
    NEAR,
    image_hash,
    near_hashes,
    same_image,
    shrunk,
)

SIZE = (160, 120)  # width, height


def image(seed: int) -> np.ndarray:
    """An image with large and small structures: (120, 160, 3) uint8."""
    generator = np.random.default_rng(seed)
    large = cv2.resize(generator.uniform(20, 235, (5, 7, 3)), SIZE, interpolation=cv2.INTER_CUBIC)
    small = cv2.resize(generator.uniform(-20, 20, (40, 53, 3)), SIZE)
    return (large + small).clip(0, 255).astype(np.uint8)


def write(folder: Path) -> Path:
    """small_set's tree with such images."""
    small_set.write(folder)
    for k, path in enumerate(sorted(folder.glob('*/image/*.png'))):
        cv2.imwrite(str(path), image(k))
    small_set.change(folder, lambda v: cv2.resize(v, SIZE, interpolation=cv2.INTER_NEAREST))
    return folder


COPIES = {
    'same pixels in another format': ('.bmp', 1.0, []),
    'JPEG': ('.jpg', 1.0, [cv2.IMWRITE_JPEG_QUALITY, 50]),
    'WebP': ('.webp', 1.0, [cv2.IMWRITE_WEBP_QUALITY, 60]),
    'half the size': ('.png', 0.5, []),
    'twice the size': ('.jpg', 2.0, [cv2.IMWRITE_JPEG_QUALITY, 90]),
}


def copied(path: Path, kind: str) -> Path:
    """A copy of the image, beside it."""
    suffix, factor, options = COPIES[kind]
    size = [round(factor * side) for side in SIZE]
    copy = cv2.resize(cv2.imread(str(path)), size, interpolation=cv2.INTER_AREA)
    made = path.with_name(f'copy{suffix}')
    assert cv2.imwrite(str(made), copy, options)
    return made


@in_one_test('kind', COPIES)
def test_copy_in_another_split_is_named_and_moved_out(tmp_path, capsys, kind):
    data = write(tmp_path / 'data')
    made = copied(data / 'val' / 'image' / '1.png', kind)
    made = made.rename(data / 'train' / 'image' / made.name)
    label = data / 'train' / 'label' / 'copy.png'
    with Image.open(made) as copy:
        Image.fromarray(np.arange(3, dtype=np.uint8)[np.newaxis]).resize(copy.size, 0).save(label)
    arguments = [str(data), '--cache', str(tmp_path / 'cache')]
    assert main([*arguments, '--report', str(tmp_path / 'report')]) == 0
    text = capsys.readouterr().out
    assert '1 image is in two splits (1 of them in another format, encoding or size)' in text
    assert f'{made} (train) is the same as {data}/val/image/1.png (val)' in text
    command = next(line.strip() for line in text.splitlines() if '--apply-fix' in line)
    small_set.run_command(command, tmp_path)
    assert not made.exists() and not label.exists()
    main(arguments)
    assert 'No findings' in capsys.readouterr().out


def test_the_same_scene_with_something_else_in_it_is_no_copy(tmp_path, capsys):
    data = write(tmp_path / 'data')
    frame = image(99)
    for split, left in (('train', 20), ('val', 60)):  # a car that drives by
        frame[70:90, left : left + 30] = (20, 20, 200)
        cv2.imwrite(str(data / split / 'image' / '0.png'), frame)
    assert same_image(data / 'train' / 'image' / '0.png', data / 'val' / 'image' / '0.png') is False
    main([str(data), '--cache', str(tmp_path / 'cache')])
    assert 'No findings' in capsys.readouterr().out


@pytest.mark.parametrize('bits', [0, 1, NEAR, NEAR + 1])
def test_near_hashes_are_found_once_up_to_the_distance(bits):
    one = np.arange(8, dtype=np.uint8) * 31
    other = one.copy()
    for k in range(bits):
        other[k % 8] ^= 1 << (k // 8)
    found = list(near_hashes(['00' * 8, one.tobytes().hex()], [other.tobytes().hex()]))
    assert found == ([(bits, 1, 0)] if bits <= NEAR else [])


def test_flat_and_broken_images_have_no_hash():
    flat = cv2.imencode('.png', np.full((90, 90), 7, np.uint8))[1].tobytes()
    assert image_hash(shrunk(flat, (90, 90))) is None
    assert shrunk(b'\xff\xd8 nothing', (90, 90)) is None


def test_command_can_be_pasted_into_a_shell(tmp_path, capsys):
    data = write(tmp_path / 'my data')
    (data / 'train' / 'image' / '2.png').write_bytes((data / 'val/image/3.png').read_bytes())
    main([str(data), '--cache', str(tmp_path / 'cache'), '--split', 'train', 'val'])
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    command = next(line for line in lines if line.startswith('openseg check-dataset'))
    words = shlex.split(command)
    assert words[2:] == [str(data), '--split', 'train', 'val', '--apply-fix', 'duplicate_images']
