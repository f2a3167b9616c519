"""The download, from a server on this machine."""

import hashlib
import select
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from openseg_plugin.cli.weights import main
from openseg_plugin.errors import CheckpointError
from openseg_plugin.model_zoo.entries import entries, find
from openseg_plugin.paths import config_path
from openseg_plugin.utils import download as downloading
from openseg_plugin.utils.download import ATTEMPTS, download
from openseg_plugin.utils.files import locked

DATA = bytes(range(256)) * 40
DIGEST = hashlib.sha256(DATA).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves DATA; /whole ignores ranges, /unsaid does not say how much comes.

    /drop breaks off after 1000 bytes of an answer below byte 2000, /stubborn after 100;
    /begun says nothing and breaks off; /busy answers 503 as often as the server is told; /slow
    goes on after 1000 bytes when the server is told.
    """

    def log_message(self, *_):
        pass

    def do_GET(self):
        if self.path == '/none':
            return self.send_error(404)
        if self.path == '/busy' and self.server.refusals:
            self.server.refusals -= 1
            return self.send_error(503)
        body = b' <!doctype html>' if self.path == '/page' else DATA
        given = self.headers.get('Range') if self.path != '/whole' else None
        start = int(given.removeprefix('bytes=').rstrip('-')) if given else 0
        self.server.starts.append(start)
        if start >= len(body):
            return self.send_error(416)
        self.send_response(206 if given else 200)
        if self.path not in ('/unsaid', '/begun'):
            self.send_header('Content-Length', str(len(body) - start))
        self.end_headers()
        limit = {'/drop': 1000 if start < 2000 else None, '/stubborn': 100, '/begun': 100}
        sent = limit.get(self.path)
        if self.path == '/slow':
            self.wfile.write(body[start : start + 1000])
            start += 1000
            self.server.may_go_on.wait(60)
        self.wfile.write(body[start:] if sent is None else body[start : start + sent])


@pytest.fixture
def server():
    server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    server.starts = []
    server.refusals = 0
    server.may_go_on = threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def at(server, path: str) -> str:
    return f'http://127.0.0.1:{server.server_port}/{path}'


def test_dropped_connection_is_resumed_where_it_broke_off(server, tmp_path):
    download(at(server, 'drop'), tmp_path / 'a' / 'w.pth', sha256=DIGEST)
    assert (tmp_path / 'a' / 'w.pth').read_bytes() == DATA
    assert server.starts == [0, 1000, 2000]
    assert [p.name for p in (tmp_path / 'a').iterdir()] == ['w.pth']


@pytest.mark.parametrize('path', ['file', 'whole'])
def test_begun_file_of_an_earlier_run_is_finished(server, tmp_path, path):
    (tmp_path / 'w.pth.part').write_bytes(DATA[:500])
    seen = []
    download(at(server, path), tmp_path / 'w.pth', sha256=DIGEST[:8],
             progress=lambda done, total: seen.append((done, total)))  # fmt: skip
    assert (tmp_path / 'w.pth').read_bytes() == DATA
    assert seen[-1] == (len(DATA), len(DATA))
    assert server.starts == [500 if path == 'file' else 0]


def test_server_that_does_not_say_the_length_is_read_to_the_end(server, tmp_path):
    seen = []
    download(at(server, 'unsaid'), tmp_path / 'w.pth', sha256=DIGEST,
             progress=lambda done, total: seen.append((done, total)))  # fmt: skip
    assert (tmp_path / 'w.pth').read_bytes() == DATA
    assert seen[-1] == (len(DATA), None)


def test_part_of_a_file_of_unknown_length_is_found_out_by_its_hash(server, tmp_path):
    with pytest.raises(CheckpointError, match='damaged: its SHA-256'):
        download(at(server, 'begun'), tmp_path / 'w.pth', sha256=DIGEST)
    assert not list(tmp_path.iterdir())


def test_connection_that_always_breaks_off_is_given_up_and_gone_on_with_later(server, tmp_path):
    for run in (1, 2):
        with pytest.raises(CheckpointError, match=r'breaks off again and again: run this again'):
            download(at(server, 'stubborn'), tmp_path / 'w.pth', sha256=DIGEST)
        assert (tmp_path / 'w.pth.part').read_bytes() == DATA[: run * ATTEMPTS * 100]
    download(at(server, 'file'), tmp_path / 'w.pth', sha256=DIGEST)
    assert (tmp_path / 'w.pth').read_bytes() == DATA
    assert server.starts[-1] == 2 * ATTEMPTS * 100


@pytest.mark.parametrize(
    ('leftover', 'sha256', 'starts'),
    [
        (DATA, DIGEST, [len(DATA)]),
        (DATA, DIGEST[:8], [len(DATA)]),
        (DATA[::-1], DIGEST, [len(DATA), 0]),
        (DATA, None, [len(DATA), 0]),
    ],
    ids=['whole', 'begin of its hash', 'damaged', 'unknown hash'],
)
def test_complete_leftover_is_kept_if_its_hash_is_right(server, tmp_path, leftover, sha256, starts):
    (tmp_path / 'w.pth.part').write_bytes(leftover)
    download(at(server, 'file'), tmp_path / 'w.pth', sha256=sha256)
    assert (tmp_path / 'w.pth').read_bytes() == DATA
    assert server.starts == starts
    assert [p.name for p in tmp_path.iterdir()] == ['w.pth']


@pytest.mark.skipif(sys.platform == 'win32', reason='Windows has no such locks')
def test_two_processes_that_want_one_file_fetch_it_once(server, tmp_path):
    code = (
        'import sys; from pathlib import Path; from openseg_plugin.utils.download import download; '
        'download(sys.argv[1], Path(sys.argv[2]))'
    )
    words = [sys.executable, '-c', code, at(server, 'slow'), str(tmp_path / 'w.pth')]
    with (
        subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as first,
        subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as second,
    ):
        said = [select_line(first, second)]
        server.may_go_on.set()
        said += [line for process in (first, second) for line in process.stderr]
    assert said == [f'waiting for another process that writes {tmp_path / "w.pth.part"}\n']
    assert (first.returncode, second.returncode) == (0, 0)
    assert server.starts == [0] and (tmp_path / 'w.pth').read_bytes() == DATA
    assert [p.name for p in tmp_path.iterdir()] == ['w.pth']


def select_line(*processes: subprocess.Popen) -> str:
    """The first line that one of them writes."""
    ready, _, _ = select.select([process.stderr for process in processes], [], [], 60)
    return ready[0].readline() if ready else ''


@pytest.mark.parametrize('is_renamed', [True, False])
def test_lock_of_a_file_that_went_meanwhile_is_taken_anew(tmp_path, is_renamed):
    path, order = tmp_path / 'w.part', []

    def second() -> None:
        with locked(path):
            order.append('second')
            path.write_bytes(b'2')

    with locked(path):
        path.write_bytes(b'1')
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.2)
        order.append('first')
        path.replace(tmp_path / 'w') if is_renamed else path.unlink()
    thread.join()
    assert order == ['first', 'second'] and path.read_bytes() == b'2'
    assert not is_renamed or (tmp_path / 'w').read_bytes() == b'1'


@pytest.fixture
def pauses(monkeypatch) -> list[float]:
    """Seconds that the download waited, without waiting."""
    seconds: list[float] = []
    monkeypatch.setattr(downloading.time, 'sleep', seconds.append)
    return seconds


def test_server_in_trouble_is_asked_again_after_longer_and_longer_pauses(server, tmp_path, pauses):
    server.refusals = ATTEMPTS - 1
    download(at(server, 'busy'), tmp_path / 'w.pth', sha256=DIGEST)
    assert (tmp_path / 'w.pth').read_bytes() == DATA
    assert pauses == [1.0, 2.0, 4.0]


def test_server_that_stays_in_trouble_is_given_up(server, tmp_path, pauses):
    server.refusals = ATTEMPTS
    with pytest.raises(CheckpointError, match=r'answers 503 .*by hand'):
        download(at(server, 'busy'), tmp_path / 'w.pth', sha256=DIGEST)
    assert server.refusals == 0
    assert len(pauses) == ATTEMPTS - 1


@pytest.mark.parametrize(
    ('path', 'message'),
    [
        ('none', r'404 .*by hand, as .*w\.pth'),
        ('page', r'a web page.*by hand'),
        ('file', r'damaged: its SHA-256 starts with [0-9a-f]{8}, not with 00000000'),
    ],
)
def test_wrong_answer_is_one_sentence_and_leaves_nothing(server, tmp_path, path, message):
    with pytest.raises(CheckpointError, match=message):
        download(at(server, path), tmp_path / 'w.pth', sha256='00000000')
    assert not list(tmp_path.iterdir())


def test_dead_address_says_how_to_get_it_by_hand(server, tmp_path):
    address = at(server, 'file')
    server.shutdown()
    server.server_close()
    with pytest.raises(CheckpointError, match=r'cannot be reached .*by hand'):
        download(address, tmp_path / 'w.pth')


def test_get_without_an_address_names_the_page(tmp_path):
    entry = next(entry for entry in entries() if entry.address is None)
    with pytest.raises(CheckpointError, match=entry.page):
        main(['get', entry.name, '--to', str(tmp_path)])


def test_unknown_name_is_answered_with_near_ones():
    with pytest.raises(CheckpointError, match='hrnet_ocr_cs_8162_torch11'):
        find('hrnet_ocr_cs_8162')


def test_entries_have_names_of_their_own_and_configs_that_exist():
    assert len({entry.name for entry in entries()}) == len(entries())
    assert all(config_path(entry.config).is_file() for entry in entries())
    assert all(entry.sha256_start is None or len(entry.sha256_start) == 8 for entry in entries())


def test_file_that_is_larger_than_it_may_be_is_given_up(server, tmp_path):
    for path in ('file', 'unsaid'):
        with pytest.raises(CheckpointError, match=r'where at most .* are expected.*by hand'):
            download(at(server, path), tmp_path / 'w.pth', max_bytes=1000)
        assert not list(tmp_path.iterdir())


def test_server_that_never_ends_is_given_up(server, tmp_path, monkeypatch):
    monkeypatch.setattr(downloading, 'MAX_SECONDS', -1.0)
    with pytest.raises(CheckpointError, match='was not done after'):
        download(at(server, 'file'), tmp_path / 'w.pth')
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('address', ['file:///etc/hostname', 'ftp://127.0.0.1/x'])
def test_address_of_another_kind_is_refused(tmp_path, address):
    with pytest.raises(CheckpointError, match='no http or https address'):
        download(address, tmp_path / 'w.pth')


def test_get_of_a_file_without_a_published_hash_says_so_and_keeps_the_hash(
    server, tmp_path, capsys
):
    entry = next(e for e in entries() if e.address and not (e.sha256 or e.sha256_start))
    words = ['get', entry.name, '--to', str(tmp_path), '--url', at(server, 'file')]
    main(words)
    said = capsys.readouterr()
    assert 'publish no hash' in said.err and DIGEST in said.err
    file = tmp_path / entry.name / entry.file
    assert said.out.startswith(f'{file}\n') and file.read_bytes() == DATA
    file.write_bytes(b'other')
    with pytest.raises(CheckpointError, match='is damaged'):
        main(words)
