"""inference/sources.py: files, folders, patterns, lists and the web; formats and broken files."""

import errno
import functools
import http.server
import io
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
import torch
from in_one_test import in_one_test
from PIL import Image
from predictions import labels_in, predict

import openseg_plugin
from openseg_plugin.errors import DataError
from openseg_plugin.inference import segmenter
from openseg_plugin.inference.sources import find_sources


def test_files_that_cannot_be_read_and_images_too_large_are_listed(
    toy, tmp_path, monkeypatch, capsys
):
    config, weights, images = toy
    (tmp_path / 'in').mkdir()
    for k, name in enumerate(('denied', 'good', 'large')):
        (tmp_path / f'in/{name}.png').write_bytes((images / f'{k:02}.png').read_bytes())
    (tmp_path / 'in/bomb.png').write_bytes(huge_png() + b'more')
    Image.open(images / '02.png').resize((96, 72)).save(tmp_path / 'in/large.png')

    def opened(path, *words, **options):
        if str(path).endswith('denied.png') and words[:1] == ('rb',):
            raise OSError(errno.EIO, 'Input/output error')
        return open(path, *words, **options)

    def packed(self, pixels, path):
        if path.endswith('large.png'):
            raise torch.OutOfMemoryError('CUDA out of memory')
        return pack(self, pixels, path)

    pack = segmenter.Segmenter._packed
    monkeypatch.setattr(segmenter.Segmenter, '_packed', packed)
    monkeypatch.setattr('openseg_plugin.utils.images.open', opened, raising=False)
    command = [config, weights, tmp_path / 'in', '--out', tmp_path / 'out', '--tile', 'off']
    assert predict(*command) == 1
    said = capsys.readouterr()
    assert 'denied.png cannot be read (Input/output error)' in said.err
    assert 'bomb.png is cut short or broken' in said.err
    assert 'large.png: the memory is not enough for 72x96 pixels: let it be cut' in said.err
    assert '1 predicted' in said.out and '3 could not be' in said.out
    assert list(labels_in(tmp_path / 'out')) == ['good.png']


def test_exif_orientation_is_applied_unless_it_is_ignored(toy, tmp_path):
    config, weights, images = toy
    turned = tmp_path / 'turned.jpg'
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(images / '00.png').save(turned, exif=exif, quality=95)
    model = openseg_plugin.load(str(config), str(weights))
    assert model.predict(turned).labels.shape == (48, 36)
    assert model.predict(turned).overlay().shape == (48, 36, 3)
    stored = openseg_plugin.load(str(config), str(weights), ignore_exif=True)
    assert stored.predict(turned).labels.shape == (36, 48)


@pytest.mark.parametrize('ending', ['.jpg', '.png', '.webp', '.bmp', '.tif'])
def test_formats_can_be_read(toy, tmp_path, ending):
    config, weights, images = toy
    path = tmp_path / f'image{ending}'
    cv2.imwrite(str(path), cv2.imread(str(images / '00.png')))
    model = openseg_plugin.load(str(config), str(weights))
    assert model.predict(path).labels.shape == (36, 48)


def test_sources_are_files_folders_patterns_and_lists(tmp_path):
    for name in ('a/1.jpg', 'a/2.PNG', 'a/b/3.tif', 'a/notes.txt', 'a/.hidden.jpg'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b'x')
    folder = str(tmp_path / 'a')

    def names(*given, **options):
        return [source.name for source in find_sources(given, **options)]

    assert names(folder) == ['1', '2']
    assert names(folder, recursive=True) == ['1', '2', 'b/3']
    assert names(f'{folder}/*.jpg') == ['1']
    assert names(f'{folder}/**/*.tif') == ['b/3']
    listed = io.StringIO(f'{folder}/1.jpg\n\n{folder}/b/3.tif\n')
    assert names('-', listed=listed) == ['1', '3']
    assert names('https://host/x/street.jpg?size=1') == ['street']
    (tmp_path / 'link').symlink_to(tmp_path / 'a')
    given = [f'{folder}/1.jpg', f'{folder}/./1.jpg', f'{tmp_path}/link/1.jpg']
    assert [source.path for source in find_sources(given)] == given[:1]
    (tmp_path / 'a/1.mp4').write_bytes(b'x')  # as phones call a picture that moves
    assert names(folder) == ['1', '1', '2']
    assert [source.kind for source in find_sources(['camera:0'])] == ['camera']


@in_one_test(
    ('given', 'match'),
    [
        (['nowhere.jpg'], 'nowhere.jpg does not exist'),
        (['empty'], 'empty holds no image'),
        (['*.gif'], 'matches no file'),
        (['notes.txt'], 'notes.txt ends in .txt'),
        (['a/1.jpg', 'b/1.jpg'], 'would both be written as 1'),
        (['http://x/1/a.jpg', 'http://x/2/a.jpg'], 'http://x/2/a.jpg and http://x/1/a.jpg would'),
    ],
)
def test_sources_that_cannot_be_are_refused(tmp_path, monkeypatch, given, match):
    monkeypatch.chdir(tmp_path)
    for name in ('a/1.jpg', 'b/1.jpg', 'notes.txt'):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(b'x')
    Path('empty').mkdir()
    with pytest.raises(DataError, match=match):
        find_sources(given)


def test_images_that_a_model_does_not_take_are_told_from_broken_ones(toy, tmp_path, capfd):
    config, weights, images = toy
    (tmp_path / 'huge.png').write_bytes(huge_png())
    tifffile.imwrite(tmp_path / 'bands.tif', np.zeros((36, 48, 5), np.uint8), planarconfig='contig',
                     photometric='minisblack')  # fmt: skip
    sources = [tmp_path / 'huge.png', tmp_path / 'bands.tif', images / '00.png']
    assert predict(config, weights, *sources, '--out', tmp_path / 'out') == 1
    said = capfd.readouterr().err
    assert 'huge.png has more pixels than the decoder takes' in said
    assert 'bands.tif holds 5 bands of uint8' in said
    assert 'OpenCV' not in said, 'the sentence is all that is said'
    assert list(labels_in(tmp_path / 'out')) == ['00.png']


def test_of_a_broken_file_the_sentence_is_all_that_is_said(toy, tmp_path, capfd):
    config, weights, images = toy
    source = tmp_path / 'in'
    source.mkdir()
    damaged = bytearray((images / '00.png').read_bytes())
    damaged[len(damaged) // 2] ^= 255
    (source / 'damaged.png').write_bytes(damaged)
    pixels = np.random.default_rng(0).integers(0, 255, (2100, 2100, 3), np.uint8)
    tifffile.imwrite(source / 'whole.tif', pixels, compression='zlib')  # is read by windows
    content = bytearray((source / 'whole.tif').read_bytes())
    (source / 'cut.tif').write_bytes(content[: len(content) // 2])
    start = int.from_bytes(content[4:8], 'little')
    content[start + 2 : start + 60] = b'\xff' * 58  # of the list of tags
    (source / 'tags.tif').write_bytes(content)
    (source / 'whole.tif').unlink()
    assert predict(config, weights, source, images / '00.png', '--out', tmp_path / 'out') == 1
    lines = [one for one in capfd.readouterr().err.splitlines() if not one.startswith('predict: ')]
    for name, line in zip(('cut.tif', 'damaged.png', 'tags.tif'), sorted(lines), strict=True):
        assert line.startswith(f'not predicted: image {source / name} ')
        assert 'replace it by an intact copy' in line


def huge_png() -> bytes:
    """More pixels than OpenCV's decoder takes, in few bytes."""
    header = struct.pack('>IIBBBBB', 100_000, 100_000, 8, 2, 0, 0, 0)
    return (
        b'\x89PNG\r\n\x1a\n'
        + png_chunk(b'IHDR', header)
        + png_chunk(b'IDAT', zlib.compress(bytes(99)))
        + png_chunk(b'IEND', b'')
    )


def png_chunk(kind: bytes, content: bytes) -> bytes:
    check = struct.pack('>I', zlib.crc32(kind + content))
    return struct.pack('>I', len(content)) + kind + content + check


class BreakingOff(http.server.SimpleHTTPRequestHandler):
    """A web server that sends less than it said of files called so."""

    def do_GET(self):
        if 'cut' not in self.path:
            return super().do_GET()
        is_chunked = 'chunk' in self.path
        self.protocol_version = 'HTTP/1.1'
        self.send_response(200)
        self.send_header(*(('Transfer-Encoding', 'chunked') if is_chunked
                           else ('Content-Length', '900')))  # fmt: skip
        self.end_headers()
        self.wfile.write(b'100\r\nshort' if is_chunked else b'short')
        self.close_connection = True


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Address of a web server for a folder."""
    handler = functools.partial(BreakingOff, directory=folder)
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f'http://127.0.0.1:{server.server_address[1]}'
        finally:
            server.shutdown()
            thread.join()


def test_images_come_from_the_web(toy, tmp_path, capsys):
    config, weights, images = toy
    (tmp_path / 'in').mkdir()
    (tmp_path / 'in/00.png').write_bytes((images / '00.png').read_bytes())
    (tmp_path / 'in/huge.png').write_bytes(huge_png())
    out, bad = tmp_path / 'out', ('no.png', 'cut.png', 'cut_chunk.png', 'huge.png')
    with served(tmp_path / 'in') as place:
        addresses = [f'{place}/{name}' for name in (*bad, '00.png')]
        assert predict(config, weights, *addresses, '--out', out) == 1
    said = capsys.readouterr().err
    for name in bad[:3]:
        assert f'{name} cannot be reached' in said
    assert said.count('IncompleteRead') == 2
    assert 'huge.png has more pixels than the decoder takes' in said
    local = openseg_plugin.load(str(config), str(weights)).predict(images / '00.png')
    assert np.array_equal(labels_in(out)['00.png'], local.labels)


@pytest.mark.parametrize('color_type', ['color', 'grayscale', 'color_ignore_orientation'])
@pytest.mark.parametrize('ignore_exif', [False, True])
def test_images_of_the_web_are_read_as_files_are(toy, tmp_path, color_type, ignore_exif):
    config, weights, images = toy
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(images / '00.png').save(tmp_path / 'turned.jpg', exif=exif, quality=95)
    step = 'test_dataloader.dataset.pipeline.0.color_type'
    model = openseg_plugin.load(
        str(config), str(weights), ignore_exif=ignore_exif, cfg_options={step: color_type}
    )
    with served(tmp_path) as place:
        found = model.read(f'{place}/turned.jpg')
    assert np.array_equal(found, model.read(str(tmp_path / 'turned.jpg')))
