"""The page of ``openseg export --web`` in a real browser: labels of the file, and no network."""

import base64
import functools
import io
import json
import os
import shutil
import subprocess
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from serving import png, serving
from toy_segmentor import image
from toy_test_set import write_test_set

import openseg_plugin
from openseg_plugin.cli.export import main as export
from openseg_plugin.cli.main import run
from openseg_plugin.errors import ConfigError, DataError
from openseg_plugin.export import web
from openseg_plugin.export.session import ExportedModel, metadata_in

pytest.importorskip('onnxruntime', reason='the extra [export] is not installed')
# what is compared here is the browser with the file: the stand-in rounds sizes up in a way that a
# file for any size does not keep, which the check rightly refuses
UNCHECKED = ('--check', 'none')
LABELS = """
const {labels, labelWidth, labelHeight} = window.openseg.shown;
let text = '';
for (let k = 0; k < labels.length; k += 8192)
  text += String.fromCharCode(...labels.subarray(k, k + 8192));
return [labelWidth, labelHeight, btoa(text)];
"""


def call(*arguments: object) -> int:
    return run(export, [str(one) for one in arguments])


@pytest.fixture(scope='module')
def toy(tmp_path_factory) -> tuple[Path, Path]:
    return write_test_set(tmp_path_factory.mktemp('toy'), number=3)


@pytest.fixture(scope='module')
def runtime(tmp_path_factory) -> Path:
    """Stand-ins for the files of onnxruntime-web, which nothing but a browser needs."""
    folder = tmp_path_factory.mktemp('package') / 'dist'
    folder.mkdir()
    for name in web._NEEDED:
        (folder / name).write_bytes(b'x')
    return folder.parent


@pytest.fixture(scope='module')
def onnx_file(toy, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp('file') / 'street.onnx'
    assert call(*toy, path, *UNCHECKED) == 0
    return path


@pytest.mark.slow
def test_page_of_a_model_lists_every_precision_that_was_exported(toy, runtime, tmp_path, capsys):
    images = toy[0].parent / 'data/val/image'
    page = tmp_path / 'page'
    assert call(*toy, '--web', page, '--ort-web', runtime, '--size', 36, 48) == 0
    assert f'page: {page}/index.html' in capsys.readouterr().out
    # the runtime is there now
    small = ['--precision', 'int8', '--calibrate', images, '--size', 36, 48]
    assert call(*toy, '--web', page, *small) == 0
    about = json.loads((page / 'metadata.json').read_text())
    assert [one['file'] for one in about['models']] == ['models/fp32.onnx', 'models/int8.onnx']
    for one in about['models']:
        assert one['bytes'] == (page / one['file']).stat().st_size
        assert ExportedModel(page / one['file']).metadata.precision == one['precision']
        assert one['size'] == [36, 48]
    assert (about['engine'], about['webgpu']) == ('browser', False)


@pytest.mark.slow
def test_file_that_was_exported_before_gets_a_page_without_another_export(
    onnx_file, runtime, tmp_path
):
    page = tmp_path / 'page'
    assert call(onnx_file, '--web', page, '--ort-web', runtime) == 0
    assert (page / 'models/fp32.onnx').read_bytes() == onnx_file.read_bytes()
    about = json.loads((page / 'metadata.json').read_text())
    assert tuple(about['classes']) == metadata_in(onnx_file).classes
    assert 'config' not in about  # it may name folders of the machine


def test_what_a_page_cannot_be_made_of_is_a_sentence(
    onnx_file, toy, runtime, tmp_path, monkeypatch
):
    about = metadata_in(onnx_file)
    page = tmp_path / 'page'
    with pytest.raises(ConfigError, match=r'browsers run \.onnx, not \.xml'):
        web.check_web(tmp_path / 'a.xml', page)
    for change, text in ((dict(window=(8, 8)), 'windows'), (dict(image_channels=4), '4 channels')):
        with pytest.raises(ConfigError, match=text):
            web.check_web(onnx_file, page, about.__class__(**{**vars(about), **change}))
    assert call(*toy, tmp_path / 'a.onnx', '--ort-web', runtime) == 2
    (tmp_path / 'empty').mkdir()
    with pytest.raises(DataError, match=r'lacks ort\.wasm\.min\.mjs'):
        web.put_runtime(page, tmp_path / 'empty')
    (tmp_path / 'a.tgz').write_bytes(b'no archive')
    with pytest.raises(DataError, match='no archive'):
        web.put_runtime(page, tmp_path / 'a.tgz')
    monkeypatch.setenv('PATH', str(tmp_path))
    with pytest.raises(web.DependencyError, match='install npm'):
        web.put_runtime(page, None)
    assert not page.exists()
    web.put_runtime(page, runtime)
    web.write_web(onnx_file, page, about)
    other = about.__class__(**{**vars(about), 'checkpoint_sha256': 'other', 'precision': 'int8'})
    with pytest.raises(DataError, match=f'{page} .*give another folder, or remove this one'):
        web.check_web(onnx_file, page, other)


# ---- in the browser ------------------------------------------------------------------------


@pytest.fixture(scope='session')
def ort_web(tmp_path_factory) -> Path:
    """The npm package: ``ORT_WEB``, or fetched."""
    if os.environ.get('ORT_WEB'):
        return Path(os.environ['ORT_WEB'])
    if shutil.which('npm') is None:
        pytest.skip('needs npm, or ORT_WEB=.../onnxruntime-web')
    folder = tmp_path_factory.mktemp('npm')
    command = ['npm', 'pack', web.PACKAGE, '--silent']
    if subprocess.run(command, cwd=folder, capture_output=True).returncode:
        pytest.skip(f'npm cannot fetch {web.PACKAGE}: name it in ORT_WEB')
    return next(folder.glob('*.tgz'))


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


class Page:
    """The page in a window.

    Args:
        browser: the window.
        address: where the page is.
        folder: for the files that it is given.
    """

    def __init__(self, browser, address: str, folder: Path) -> None:
        self.browser, self.address, self.folder = browser, address, folder
        browser.open(address)
        self.wait('ready')

    def wait(self, *states: str, seconds: float = 240) -> str:
        """The state, once it is one of these."""
        script = 'const {state} = document.getElementById("app").dataset;'
        self.browser.until(f'{script} return {list(states)}.includes(state)', seconds=seconds)
        return self.browser.run(f'{script} return state')

    def give(self, content: bytes, name: str, *states: str) -> str:
        """Chooses a file; the state after it."""
        path = self.folder / name
        path.write_bytes(content)
        self.browser.run(
            'window.openseg.shown = null; document.getElementById("app").dataset.state = ""'
        )
        self.browser.one('#file').send_keys(str(path))
        return self.wait(*(states or ('done', 'failed')))

    def labels(self) -> np.ndarray:
        """(H, W) of what is shown."""
        width, height, text = self.browser.run(LABELS)
        return np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width)

    def text(self, name: str) -> str:
        return self.browser.run('return document.getElementById(arguments[0]).textContent', name)

    def complaints(self) -> list[str]:
        """All but what Chromium says by itself where a page asks for a GPU and there is none."""
        found = self.browser.complaints(own=self.address)
        return [one for one in found if not one.endswith('No available adapters.')]


@pytest.fixture(scope='module')
def site(toy, ort_web, tmp_path_factory):
    """Address of a static server with a page of fp32 and int8."""
    folder = tmp_path_factory.mktemp('site')
    images = toy[0].parent / 'data/val/image'
    assert call(*toy, '--web', folder, '--ort-web', ort_web, *UNCHECKED) == 0
    small = ['--precision', 'int8', '--calibrate', images, *UNCHECKED]
    assert call(*toy, '--web', folder, *small) == 0
    handler = functools.partial(_Quiet, directory=str(folder))
    server = ThreadingHTTPServer(('127.0.0.1', 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f'http://127.0.0.1:{server.server_port}/'
    server.shutdown()


@pytest.fixture
def page(browser, site, tmp_path) -> Page:
    return Page(browser, site[1], tmp_path)


@pytest.mark.slow
def test_labels_in_the_browser_are_those_of_the_file_and_are_shown(page, site):
    native = ExportedModel(site[0] / 'models/fp32.onnx')
    for size in ((450, 610), (83, 107)):
        pixels = image(*size)
        assert page.give(png(pixels), 'street.png') == 'done', page.text('message')
        labels, expected = page.labels(), native.labels(pixels)
        assert len(np.unique(expected)) > 1
        assert (labels == expected).mean() >= 0.9999
    assert page.text('result').startswith('street.png: 107 \u00d7 83 pixels, ')
    assert 'fp32' in page.text('engine') and 'WebAssembly' in page.text('engine')
    areas = page.browser.run('return window.openseg.shown.areas')
    assert areas == np.bincount(expected.ravel(), minlength=len(areas)).tolist()
    shown = [one.text for one in page.browser.all('#classes .number')]
    assert f'{100 * max(areas) / expected.size:.1f} %' == shown[0]
    # under the pointer
    from selenium.webdriver import ActionChains

    frame = page.browser.one('#frame')
    ActionChains(page.browser.driver).move_to_element(frame).perform()
    height, width = expected.shape
    classes = native.metadata.classes
    near = expected[height // 2 - 1 : height // 2 + 2, width // 2 - 1 : width // 2 + 2]
    assert page.text('tag') in {classes[label] for label in near.ravel()}
    # opacity, and one class alone
    page.browser.set_value('#opacity', 20)
    assert page.browser.run('return document.getElementById("overlay").style.opacity') == '0.2'
    page.browser.one('#classes button').click()
    painted = page.browser.run(
        'const c = document.getElementById("overlay");'
        'const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;'
        'let n = 0; for (let k = 3; k < d.length; k += 4) n += d[k] > 0; return n'
    )
    assert painted == max(areas)
    assert page.complaints() == []


@pytest.mark.slow
def test_photo_of_12_megapixels_is_predicted_reduced_or_in_parts_while_the_page_lives(page, site):
    native = ExportedModel(site[0] / 'models/fp32.onnx')
    pixels = np.asarray(Image.fromarray(image(300, 400)).resize((4000, 3000), Image.BICUBIC))
    assert page.give(png(pixels, 'JPEG'), 'photo.jpg') == 'done', page.text('message')
    height, width = page.labels().shape
    assert height * width <= 2 * 2**20 and abs(width / height - 4 / 3) < 0.01
    assert f'predicted at {width} \u00d7 {height}' in page.text('result')
    page.browser.run('window.turns = 0; setInterval(() => { window.turns += 1; }, 20)')
    page.browser.run('document.getElementById("app").dataset.state = ""')
    page.browser.set_value('#size', 'full')
    page.wait('done')
    assert page.browser.run('return window.turns') > 20
    page.give(png(pixels), 'photo.png')
    labels, expected = page.labels(), native.labels(pixels)
    assert labels.shape == (3000, 4000)
    assert (labels == expected).mean() >= 0.9999
    assert page.complaints() == []


@pytest.mark.slow
def test_broken_file_is_a_sentence_and_the_next_image_is_predicted(page):
    for content in (b'no image', png(image(45, 61))[:60]):
        assert page.give(content, 'broken.png') == 'failed'
        assert page.text('message').startswith('broken.png cannot be shown: it is no image')
    assert page.give(png(image(45, 61)), 'street.png') == 'done'
    assert page.browser.one('#message').get_attribute('hidden')
    assert page.complaints() == []


@pytest.mark.slow
def test_other_precision_is_chosen_and_predicts_the_same_image_again(page, site):
    pixels = image(450, 610)
    page.give(png(pixels), 'street.png')
    page.browser.run('document.getElementById("app").dataset.state = ""')
    page.browser.set_value('#model', '1')
    assert page.wait('done', 'failed') == 'done', page.text('message')
    assert page.text('engine').startswith('int8')
    expected = ExportedModel(site[0] / 'models/int8.onnx').labels(pixels)
    assert (page.labels() == expected).mean() > 0.99  # kernels for 8 bits round differently
    assert page.complaints() == []


@pytest.mark.slow
def test_video_and_camera_are_predicted_frame_by_frame(page):
    av = pytest.importorskip('av', reason='the extra [video] is not installed')
    content = io.BytesIO()
    with av.open(content, 'w', format='webm') as container:
        stream = container.add_stream('libvpx', rate=10)
        stream.width, stream.height, stream.pix_fmt = 128, 96, 'yuv420p'
        for shift in range(20):
            frame = np.roll(image(96, 128), 5 * shift, axis=1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format='rgb24')))
        container.mux(stream.encode(None))
    assert page.give(content.getvalue(), 'drive.webm', 'playing', 'failed') == 'playing'
    assert page.labels().shape == (96, 128)
    first = page.labels()
    page.browser.until(
        f'return window.openseg.shown.labels.join() !== {first.ravel().tolist()}.join()'
    )
    page.browser.one('#pause').click()
    assert page.text('pause') == 'Play'
    page.browser.run('document.getElementById("app").dataset.state = ""')
    page.browser.one('#camera').click()
    assert page.wait('playing', 'failed') == 'playing', page.text('message')
    assert 'images/s' in page.text('result')
    page.browser.one('#camera').click()
    assert page.text('camera') == 'Camera'
    assert page.give(b'no video', 'broken.mp4', 'failed') == 'failed'
    assert page.text('message').startswith('broken.mp4 cannot be played')
    assert page.complaints() == []


@pytest.mark.slow
def test_page_from_the_disk_says_how_to_open_it(browser, site):
    browser.open(site[0] / 'index.html')
    browser.until('return !document.getElementById("message").hidden')


@pytest.mark.slow
def test_same_page_of_a_server_lets_the_server_predict(toy, browser, tmp_path):
    pytest.importorskip('uvicorn', reason='the extra [serve] is not installed')
    pixels = image(450, 610)
    expected = openseg_plugin.load(*map(str, toy)).predict(pixels).labels
    with serving(*toy, '--max-megapixels', 1) as server:
        page = Page(browser, f'http://127.0.0.1:{server.port}/', tmp_path)
        assert 'server' in page.text('engine')
        assert page.give(png(pixels), 'street.png') == 'done', page.text('message')
        assert (page.labels() == expected).all()
        assert page.complaints() == []
        assert page.give(png(np.zeros((1500, 1000, 3), np.uint8)), 'large.png') == 'failed'
        assert 'more than 1000000: send a smaller one' in page.text('message')
