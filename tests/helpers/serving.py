"""``openseg serve`` in a process of its own, and what a client sends."""

import http.client
import io
import json
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlencode

import numpy as np
import toy_run
from PIL import Image


class Server:
    """A running server.

    Attributes:
        port: on 127.0.0.1.
        process: its process.
    """

    def __init__(self, process: subprocess.Popen) -> None:
        self.process = process
        line = process.stdout.readline()
        found = re.search(r'http://127\.0\.0\.1:(\d+)', line)
        if not found:
            process.kill()
            raise AssertionError(f'openseg serve did not start: {line}{process.stderr.read()}')
        self.port = int(found[1])
        # a full pipe would stop the server
        self.said: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        self.said += list(self.process.stderr)

    def ask(
        self, method: str, path: str, body: bytes | None = None, **query: object
    ) -> tuple[int, bytes, dict[str, str]]:
        """Status, body and headers of an answer."""
        connection = http.client.HTTPConnection('127.0.0.1', self.port, timeout=120)
        try:
            address = f'{path}?{urlencode(query)}' if query else path
            connection.request(method, address, body)
            answer = connection.getresponse()
            return answer.status, answer.read(), dict(answer.getheaders())
        finally:
            connection.close()

    def json(self, path: str) -> dict:
        """What an address answers."""
        status, body, _ = self.ask('GET', path)
        assert status == 200, body
        return json.loads(body)

    def error(self, body: bytes, **query: object) -> tuple[int, str]:
        """Status and sentence of a refused image."""
        status, answer, _ = self.ask('POST', '/predict', body, **query)
        return status, json.loads(answer)['error']

    def labels(self, body: bytes) -> np.ndarray:
        """Label map (H, W) of an image file."""
        status, answer, _ = self.ask('POST', '/predict', body)
        assert status == 200, answer
        return np.asarray(Image.open(io.BytesIO(answer)))

    def memory(self) -> int:
        """Largest resident memory so far, in bytes."""
        with open(f'/proc/{self.process.pid}/status', encoding='ascii') as file:
            (line,) = [one for one in file if one.startswith('VmHWM')]
        return int(line.split()[1]) * 1024


def png(image: np.ndarray, kind: str = 'PNG') -> bytes:
    """An array as a file."""
    content = io.BytesIO()
    Image.fromarray(image).save(content, format=kind)
    return content.getvalue()


@contextmanager
def serving(*arguments: object) -> Iterator[Server]:
    """``openseg serve ARGUMENTS`` at a free port until the end of the block."""
    # the toy backbone is no part of the package, and no file may name what to import
    code = 'import sys, small_models; from openseg_plugin.cli.main import main; sys.exit(main())'
    process = toy_run.start('-c', code, 'serve', *arguments, '--port', 0)
    try:
        yield Server(process)
    finally:
        process.terminate()
        process.wait(30)
        for pipe in (process.stdout, process.stderr):
            pipe.close()
