"""``openseg serve``: the labels of the model for whoever asks, and a sentence for what is wrong."""

import asyncio
import io
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from mmengine.config import ConfigDict
from PIL import Image
from serving import Server, png, serving
from toy_segmentor import image, segmentor_config
from toy_test_set import write_test_set

import openseg_plugin
from openseg_plugin.cli.main import run
from openseg_plugin.cli.serve import main as serve
from openseg_plugin.inference.segmenter import Segmenter
from openseg_plugin.inference.server import Limits, Service
from openseg_plugin.registry import MODELS

pytest.importorskip('uvicorn', reason='the extra [serve] is not installed')
SMALL = ('--max-megabytes', 1, '--max-megapixels', 1)


@pytest.fixture(scope='module')
def toy(tmp_path_factory) -> tuple[Path, Path]:
    """Config and checkpoint of a random network."""
    return write_test_set(tmp_path_factory.mktemp('toy'), number=2)


@pytest.fixture(scope='module')
def model(toy):
    return openseg_plugin.load(*map(str, toy))


@pytest.fixture(scope='module')
def server(toy):
    with serving(*toy, *SMALL) as one:
        yield one


def test_labels_are_those_of_the_model_for_every_kind_of_file(server, model, tmp_path):
    pixels = image(45, 61)
    for kind, ending in (('PNG', 'png'), ('JPEG', 'jpg'), ('BMP', 'bmp'), ('WEBP', 'webp')):
        body = png(pixels, kind)
        (tmp_path / f'x.{ending}').write_bytes(body)
        expected = model.predict(tmp_path / f'x.{ending}')
        status, answer, headers = server.ask('POST', '/predict', body)
        assert (status, headers['content-type']) == (200, 'image/png')
        assert headers['x-image-size'] == '61x45' and 'model;dur=' in headers['server-timing']
        with Image.open(io.BytesIO(answer)) as labels:
            assert labels.getpalette()[: 3 * len(model.classes)] == model.palette.ravel().tolist()
            assert (np.asarray(labels) == expected.labels).all()
        assert len(np.unique(expected.labels)) > 1


def test_backend_is_what_is_served(toy, monkeypatch, capsys):
    """That the file gives the labels of the model is tested where it is exported."""
    asked = []

    def exported(*arguments: object, **options: object) -> Path:
        asked.append((*arguments, options['precision']))
        return Path('there_is_no_such.onnx')

    monkeypatch.setattr('openseg_plugin.inference.exported.for_backend', exported)
    options = ['--backend', 'openvino', '--precision', 'bf16']
    assert run(serve, [*map(str, toy), *options]) == 2
    assert 'there_is_no_such.onnx' in capsys.readouterr().err
    assert asked == [('openvino', *map(str, toy), 'bf16')]
    assert run(serve, [*map(str, toy), '--backend', 'openvino', '--exact']) == 2
    assert '--exact is about torch' in capsys.readouterr().err


def test_image_is_turned_as_its_exif_says(server, model, tmp_path):
    content, exif = io.BytesIO(), Image.Exif()
    exif[274] = 6
    Image.fromarray(image(45, 61)).save(content, format='JPEG', exif=exif)
    (tmp_path / 'x.jpg').write_bytes(content.getvalue())
    labels = server.labels(content.getvalue())
    assert labels.shape == (61, 45)
    assert (labels == model.predict(tmp_path / 'x.jpg').labels).all()


def test_overlay_and_polygons_are_those_of_a_segmentation(server, model):
    pixels = image(45, 61)
    expected = model.predict(pixels)
    status, answer, headers = server.ask('POST', '/predict', png(pixels), output='overlay', alpha=1)
    assert (status, headers['content-type']) == (200, 'image/jpeg')
    with Image.open(io.BytesIO(answer)) as drawn:
        assert np.abs(np.asarray(drawn).astype(int) - expected.colored()).mean() < 30
    status, numbers, headers = server.ask('POST', '/predict', png(pixels), output='raw')
    assert headers['x-image-size'] == '61x45'
    assert numbers == expected.labels.astype(np.uint8).tobytes()
    query = dict(output='polygons', tolerance=0)
    found = json.loads(server.ask('POST', '/predict', png(pixels), **query)[1])
    shapes = expected.polygons(0)
    assert [one['label'] for one in found['shapes']] == [model.classes[s.label] for s in shapes]
    coco = json.loads(server.ask('POST', '/predict', png(pixels), **query, format='coco')[1])
    assert sum(one['area'] for one in coco['annotations']) == expected.labels.size


def test_metadata_and_health_say_what_a_client_needs(server, model):
    about = server.json('/metadata')
    assert (about['classes'], about['engine']) == (model.classes, 'server')
    assert about['palette'] == model.palette.tolist()
    assert about['limits']['bytes'] == 2**20 and about['limits']['pixels'] == 10**6
    health = server.json('/health')
    assert health['status'] == 'ok' and health['waiting'] == 0 == health['working_on']


def bomb() -> bytes:
    """A small file that says it has 4 gigapixels."""
    content = bytearray(png(image(4, 4)))
    content[16:24] = (65535).to_bytes(4, 'big') * 2
    import zlib

    content[29:33] = zlib.crc32(bytes(content[12:29])).to_bytes(4, 'big')
    return bytes(content)


@pytest.mark.parametrize(
    ('body', 'status', 'text'),
    [
        (b'', 400, 'empty'),
        (b'no image at all', 400, 'no image that is known'),
        (png(image(45, 61))[:300], 400, 'cut short or broken'),
        (bytes(3 * 2**20), 413, 'more than 1048576 bytes'),
        (bytes(8 * 2**20), 413, 'more than 1048576 bytes'),
        (png(np.zeros((1001, 1000, 3), np.uint8)), 413, 'more than 1000000'),
        (bomb(), 413, 'pixels'),
    ],
    ids=['empty', 'text', 'cut', 'bytes', 'many bytes', 'pixels', 'bomb'],
)
def test_what_is_no_image_or_too_large_is_a_sentence_without_paths(server, toy, body, status, text):
    try:
        found, sentence = server.error(body)
    except ConnectionError:  # of a body that is not even read
        assert len(body) > 4 * 2**20
        return
    assert found == status and text in sentence and '\n' not in sentence
    assert '/' not in sentence.replace('no image that is known here: send', ''), sentence
    assert server.json('/health')['status'] == 'ok'


@asynccontextmanager
async def posting(service: Service) -> AsyncIterator[Callable]:
    """Gives what posts an image to a service and waits for status and body, without a network."""
    application = service.application()

    async def post(body: bytes) -> tuple[int, bytes]:
        sent, end = [], asyncio.Event()
        parts = [dict(type='http.request', body=body)]

        async def receive() -> dict:
            if not parts:
                await end.wait()
                return dict(type='http.disconnect')
            return parts.pop()

        async def send(message: dict) -> None:
            sent.append(message)

        scope = dict(type='http', method='POST', path='/predict', query_string=b'output=raw')
        await application(dict(scope, headers=[]), receive, send)
        end.set()
        return sent[0]['status'], b''.join(one.get('body', b'') for one in sent[1:])

    async with application.router.lifespan_context(application):
        yield post


def many_bands(bands: int) -> Segmenter:
    """A random network for TIFFs of so many bands."""
    settings = segmentor_config()
    settings['data_preprocessor'].update(mean=[30000.0] * bands, std=[9000.0] * bands)
    settings['backbone']['inputs'] = bands
    torch.manual_seed(0)
    reading = dict(color_type='unchanged', imdecode_backend='tifffile')
    pipeline = [dict(type='LoadImageFromFile', **reading), dict(type='PackSegInputs')]
    palette = [(20 * k, 0, 0) for k in range(5)]
    network = MODELS.build(ConfigDict(settings)).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)
    return Segmenter(network, pipeline, classes='abcde', palette=palette)


def test_tiff_of_many_bands_is_answered_and_too_many_samples_are_not_decoded(tmp_path):
    path, content = tmp_path / 'x.tif', io.BytesIO()
    segmenter = many_bands(7)
    blocks = np.random.default_rng(0).integers(0, 60000, (5, 7, 7), dtype=np.uint16)
    pixels = blocks.repeat(9, 0).repeat(9, 1)[:, :61]
    forms = (
        dict(),
        dict(photometric='minisblack', planarconfig='contig'),
        dict(compression='zlib'),
    )
    bodies, expected = [], []
    for options in forms:
        tifffile.imwrite(path, pixels, **options)
        bodies.append(path.read_bytes())
        expected.append(segmenter.predict(str(path)).labels)
    assert len(np.unique(expected[0])) > 1
    tifffile.imwrite(content, np.zeros((600, 500, 30), np.uint8), **forms[1], compression='zlib')
    bodies += [content.getvalue(), bodies[0][:400]]
    service = Service(segmenter, name='bands', limits=Limits(max_pixels=10**6))

    async def answers() -> list[tuple[int, bytes]]:
        async with posting(service) as post:
            return [await post(body) for body in bodies]

    *found, (status, text), (cut, reason) = asyncio.run(answers())
    for (state, numbers), labels in zip(found, expected, strict=True):
        assert state == 200 and numbers == labels.astype(np.uint8).tobytes()
    assert status == 413 and b'500x600 pixels of 30 bands' in text
    assert cut == 400 and b'in the body cannot be' in reason and b'/tmp' not in reason


def test_image_that_is_decoded_after_its_time_is_over_keeps_its_place(monkeypatch):
    monkeypatch.setattr('os.cpu_count', lambda: 8)  # so many threads could decode
    segmenter, end, body = many_bands(3), threading.Event(), png(image(45, 61))
    segmenter.is_bgr = True
    segmenter.segment(image(45, 61))
    begun = []

    def slow(path: str) -> np.ndarray:
        begun.append(path)
        end.wait(60)
        return image(45, 61)

    monkeypatch.setattr(segmenter, 'read', slow)
    service = Service(segmenter, name='slow', limits=Limits(batch=1, timeout=0.5))

    async def rounds() -> tuple[list[int], int, int]:
        async with posting(service) as post:
            late = []
            for _ in range(2):
                late += [one[0] for one in await asyncio.gather(*(post(body) for _ in range(6)))]
            number = len(begun)
            end.set()
            for _ in range(20):
                if (status := (await post(body))[0]) == 200:
                    break
            return late, number, status

    late, number, status = asyncio.run(rounds())
    assert late == [504] * 12
    assert number == 2 * service.limits.batch, 'others wait for those that nobody waits for'
    assert status == 200


def test_options_and_addresses_that_there_are_not_are_named(server):
    body = png(image(45, 61))
    assert server.error(body, output='masks') == (
        400,
        "output is 'masks': give one of labels, overlay, polygons, raw",
    )
    assert server.error(body, alpha='nan')[1].endswith('give a number from 0 to 1')
    assert server.error(body, size=3)[1].startswith("there is no option 'size'")
    assert server.ask('GET', '/nowhere')[0] == 404
    assert server.ask('GET', '/predict')[0] in (404, 405)
    assert server.ask('GET', '/../setup.cfg')[0] == 404


def test_form_is_answered_with_the_way_to_send_it(server):
    import http.client

    connection = http.client.HTTPConnection('127.0.0.1', server.port, timeout=60)
    connection.request(
        'POST', '/predict', b'x', {'Content-Type': 'multipart/form-data; boundary=a'}
    )
    answer = connection.getresponse()
    assert answer.status == 415 and b'--data-binary' in answer.read()


@pytest.mark.slow
def test_exported_file_of_one_size_refuses_others_without_its_path(toy, tmp_path):
    pytest.importorskip('onnxruntime', reason='the extra [export] is not installed')
    from openseg_plugin.cli.export import main as export

    path = tmp_path / 'street.onnx'
    arguments = [*toy, path, '--size', 36, 48, '--batch', 'dynamic']
    assert run(export, [str(one) for one in arguments]) == 0
    pixels = image(36, 48)
    expected = openseg_plugin.load(str(path)).predict(pixels).labels
    with serving(path) as one:
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(one.labels, [png(pixels)] * 8))
        assert all((labels == expected).all() for labels in found)
        status, sentence = one.error(png(image(45, 61)))
        assert status == 400 and sentence.startswith('the model takes images of 36x48 pixels')
        assert one.json('/metadata')['name'] == 'street'


@pytest.mark.slow
def test_queue_that_is_full_is_429_and_time_that_is_over_504(toy):
    body = png(image(45, 61))
    with serving(*toy, '--queue', 1, '--timeout', 2) as one:
        # a client that never sends the rest of its image holds the only place, but not for ever
        slow = socket.create_connection(('127.0.0.1', one.port))
        slow.sendall(b'POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc')
        time.sleep(0.5)
        status, answer, headers = one.ask('POST', '/predict', body)
        assert status == 429 and int(headers['retry-after']) >= 1, answer
        assert one.json('/health')['working_on'] == 1
        slow.settimeout(30)
        assert b'504' in slow.recv(4096).split(b'\r\n')[0]
        slow.close()
        assert one.ask('POST', '/predict', body)[0] == 200


@pytest.mark.parametrize('arguments', [('--port', '70000'), ('--queue', '0'), ('a', 'b', 'c')])
def test_arguments_that_cannot_be_are_refused_before_a_model_is_read(arguments, capsys):
    assert run(serve, ['nothing.pth', *arguments]) == 2
    assert capsys.readouterr().err.count('\n') == 1


def test_address_that_is_taken_is_a_sentence(toy, capsys):
    with socket.create_server(('127.0.0.1', 0)) as taken:
        port = str(taken.getsockname()[1])
        assert run(serve, [*map(str, toy), '--port', port]) == 2
    said = capsys.readouterr().err
    assert f'--port {port} cannot be listened at' in said and said.count('\n') == 1


@pytest.mark.slow
def test_200_requests_of_16_clients_each_get_their_own_and_a_killed_one_harms_nobody(toy, model):
    images = [image(40 + 5 * (k % 3), 60 + k) if k % 2 else image(45, 61) + k for k in range(200)]
    expected = [model.predict(one).labels for one in images]
    assert len({labels.tobytes() for labels in expected}) > 100
    bodies = [png(one) for one in images]
    with serving(*toy, '--max-batch', 4, '--queue', 256) as one:
        assert (one.labels(bodies[0]) == expected[0]).all()
        before = one.memory()
        stop = threading.Event()
        clients = [threading.Thread(target=_vanish, args=(one, bodies, stop)) for _ in range(2)]
        for client in clients:
            client.start()
        with ThreadPoolExecutor(16) as pool:
            found = list(pool.map(one.labels, bodies))
        stop.set()
        for client in clients:
            client.join()
        wrong = [
            k
            for k, (a, b) in enumerate(zip(found, expected))
            if a.shape != b.shape or (a != b).any()
        ]
        assert wrong == []
        assert one.memory() - before < 200 * 2**20
        time.sleep(1)
        health = one.json('/health')
        assert health['working_on'] == 0 == health['waiting']
        assert health['answered'] >= 201
        assert not [line for line in one.said if 'Traceback' in line], one.said


def _vanish(server: Server, bodies: list[bytes], stop: threading.Event) -> None:
    """A client that is killed again and again: in the middle of its image, or before its answer."""
    turn = 0
    while not stop.is_set():
        body = bodies[turn % len(bodies)]
        with socket.create_connection(('127.0.0.1', server.port)) as connection:
            head = f'POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n'
            connection.sendall(head.encode() + body[: len(body) // (1 + turn % 2)])
        turn += 1
        time.sleep(0.02)
