"""A model behind HTTP: images in, labels, overlays or polygons out; nothing is kept.

=================  ============================================================================
``POST /predict``  body: the image itself; ``?output=labels|overlay|polygons|raw``
``GET /metadata``  classes, palette and limits, as JSON
``GET /health``    whether it works, and how many images wait
``GET /``          a page on which images are dropped
=================  ============================================================================

Images of one size that arrive within a few milliseconds are predicted together. What waits is
bounded: when the queue is full, the answer is 429. Each request has so much time and no more.
Answers name no path of the machine.

Needs the extra ``[serve]`` (Starlette, uvicorn).
"""

import asyncio
import logging
import os
import socket
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from openseg_plugin import __version__
from openseg_plugin.errors import ConfigError, DependencyError, UserError
from openseg_plugin.inference.http_requests import (
    OUTPUTS,
    Refused,
    RequestOptions,
    decode,
    request_options,
)
from openseg_plugin.inference.segmentation import Segmentation
from openseg_plugin.inference.segmenter import Segmenter

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

_DRAINED = 4  # so many times the allowed bytes are read and dropped, so that a client gets its 413
_AT_ONCE = 2  # batches of which images are decoded while the others wait as they came
_CONTENT_POLICY = (
    "default-src 'none'; img-src 'self' data: blob:; media-src 'self' blob:; connect-src 'self'; "
    "script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; style-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_log = logging.getLogger('openseg_plugin.serve')


@dataclass(frozen=True)
class Limits:
    """What one server does at most.

    Attributes:
        batch: images that are predicted together.
        window: seconds that the first image of a batch waits for others.
        queue: requests that are worked on or wait; one more gets 429.
        max_bytes: of a body.
        max_pixels: of an image.
        timeout: seconds of a request, from its first byte to its answer.
    """

    batch: int = 8
    window: float = 0.004
    queue: int = 64
    max_bytes: int = 32 * 2**20
    max_pixels: int = 32 * 2**20
    timeout: float = 60.0


@dataclass
class _Job:
    """An image that waits for its labels."""

    image: np.ndarray
    done: 'asyncio.Future[Segmentation]'
    came: float = field(default_factory=time.perf_counter)
    batch: int = 0
    seconds: float = 0.0


_Worked = tuple[Segmentation, _Job, bytes, str]


class Batcher:
    """Predicts images of many requests in one thread, those of one size together.

    Args:
        predict: N images of one shape to their N segmentations.
        limits: how many together, and how long the first one waits for others.

    Attributes:
        seconds: that an image took of late, on average; 0.0: none was predicted yet.
    """

    def __init__(
        self, predict: Callable[[Sequence[np.ndarray]], list[Segmentation]], limits: Limits
    ) -> None:
        self.seconds = 0.0
        self._predict = predict
        self._limits = limits
        self._jobs: deque[_Job] = deque()
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, 'openseg-model')
        self._task = asyncio.get_running_loop().create_task(self._work())

    @property
    def waiting(self) -> int:
        """Images that no batch has taken yet."""
        return len(self._jobs)

    async def segment(self, image: np.ndarray) -> tuple[Segmentation, _Job]:
        """Labels of an image, and how it went; cancelling it takes the image out."""
        job = _Job(image, asyncio.get_running_loop().create_future())
        self._jobs.append(job)
        self._arrived.set()
        return await job.done, job

    async def close(self) -> None:
        """Ends the thread; images that wait are forgotten."""
        self._task.cancel()
        for job in self._jobs:
            job.done.cancel()
        await asyncio.to_thread(self._thread.shutdown)

    async def _work(self) -> None:
        while True:
            await self._arrived.wait()
            if len(self._jobs) < self._limits.batch and self._limits.window:
                await asyncio.sleep(self._limits.window)
            jobs = self._next_batch()
            if not jobs or await self._run(jobs):
                continue
            for job in jobs:  # whose image it was that failed shows when each goes alone
                await self._run([job])

    async def _run(self, jobs: Sequence[_Job]) -> bool:
        """Predicts and answers; False: one of several images failed, and nobody was answered."""
        began = time.perf_counter()
        images = [job.image for job in jobs]
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._thread, self._predict, images)
        except Exception as error:
            if len(jobs) > 1:
                return False
            if not jobs[0].done.done():
                jobs[0].done.set_exception(error)
        else:
            self._answer(jobs, found, time.perf_counter() - began)
        return True

    def _answer(self, jobs: Sequence[_Job], found: Sequence[Segmentation], seconds: float) -> None:
        own = seconds / len(jobs)
        self.seconds = own if not self.seconds else 0.8 * self.seconds + 0.2 * own
        for job, one in zip(jobs, found, strict=True):
            job.batch, job.seconds = len(jobs), seconds
            if not job.done.done():
                job.done.set_result(one)

    def _next_batch(self) -> list[_Job]:
        """The oldest image and others of its size; who waits no longer is left out."""
        chosen: list[_Job] = []
        kept: deque[_Job] = deque()
        for job in self._jobs:
            if job.done.done():
                continue
            fits = not chosen or (
                len(chosen) < self._limits.batch and job.image.shape == chosen[0].image.shape
            )
            (chosen if fits else kept).append(job)
        self._jobs = kept
        if not kept:
            self._arrived.clear()
        return chosen


class Service:
    """The application: what it answers, and how much of it at a time.

    Args:
        segmenter: predicts.
        name: of the model, for people; no path.
        limits: see :class:`Limits`.
        hidden: texts that no answer may hold, such as the model's path.
        page: files of the page, name to content and its type.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        *,
        name: str,
        limits: Limits,
        hidden: Sequence[str] = (),
        page: Mapping[str, tuple[bytes, str]] | None = None,
    ) -> None:
        self.segmenter = segmenter
        self.name = name
        self.limits = limits
        self.page = dict(page or {})
        self._hidden = sorted(filter(None, hidden), key=len, reverse=True)
        self._batcher: Batcher | None = None
        self._present = 0
        self._answered = 0
        self._helpers = ThreadPoolExecutor(max(2, min(8, os.cpu_count() or 2)), 'openseg-images')

    def application(self) -> 'Starlette':
        """For any ASGI server."""
        require_serving()
        from starlette.applications import Starlette
        from starlette.routing import Route

        @asynccontextmanager
        async def lifespan(_: Any) -> Any:
            self._slots = asyncio.Semaphore(_AT_ONCE * self.limits.batch)
            self._batcher = Batcher(self.segmenter.segment_together, self.limits)
            yield
            await self._batcher.close()
            self._helpers.shutdown(cancel_futures=True)

        routes = [
            Route('/predict', self._guarded(self._predict), methods=['POST']),
            Route('/metadata', self._guarded(self._metadata), methods=['GET']),
            Route('/metadata.json', self._guarded(self._metadata), methods=['GET']),  # of the page
            Route('/health', self._guarded(self._health), methods=['GET']),
            Route('/', self._guarded(self._file), methods=['GET']),
            Route('/{name:path}', self._guarded(self._file), methods=['GET']),
        ]
        return Starlette(routes=routes, lifespan=lifespan)

    def metadata(self) -> dict[str, Any]:
        """What ``/metadata`` says."""
        limits = self.limits
        return {
            'name': self.name,
            'engine': 'server',
            'classes': self.segmenter.classes,
            'palette': self.segmenter.palette.tolist(),
            'outputs': list(OUTPUTS),
            'limits': {
                'bytes': limits.max_bytes,
                'pixels': limits.max_pixels,
                'queue': limits.queue,
                'batch': limits.batch,
                'seconds': limits.timeout,
            },
            'version': __version__,
        }

    def _guarded(
        self, answer: 'Callable[[Request], Awaitable[Response]]'
    ) -> 'Callable[[Request], Awaitable[Response]]':
        """Mistakes become sentences, and every answer has its headers."""
        from starlette.requests import ClientDisconnect
        from starlette.responses import JSONResponse, Response

        async def endpoint(request: 'Request') -> 'Response':
            try:
                response = await answer(request)
            except Refused as refused:
                response = JSONResponse(
                    {'error': refused.sentence}, refused.status, refused.headers
                )
            except ClientDisconnect:
                response = Response(status_code=499)  # nobody is there to read it
            except asyncio.CancelledError:
                response = JSONResponse({'error': 'the server is being stopped'}, 503)
            except UserError as error:
                response = JSONResponse({'error': self._plain(str(error))}, 400)
            except Exception:
                _log.exception('a request failed')
                text = 'the model failed on this image; the log of the server says why'
                response = JSONResponse({'error': text}, 500)
            response.headers.update(
                {
                    'Content-Security-Policy': _CONTENT_POLICY,
                    'X-Content-Type-Options': 'nosniff',
                    'Referrer-Policy': 'no-referrer',
                    'Cross-Origin-Resource-Policy': 'same-origin',
                }
            )
            return response

        return endpoint

    def _plain(self, sentence: str) -> str:
        """A sentence without paths of this machine."""
        for text in self._hidden:
            sentence = sentence.replace(text, 'the model')
        return sentence

    async def _health(self, request: 'Request') -> 'Response':
        from starlette.responses import JSONResponse

        return JSONResponse(
            {
                'status': 'ok',
                'working_on': self._present,
                'waiting': self._batcher.waiting if self._batcher else 0,
                'answered': self._answered,
            }
        )

    async def _metadata(self, request: 'Request') -> 'Response':
        from starlette.responses import JSONResponse

        return JSONResponse(self.metadata())

    async def _file(self, request: 'Request') -> 'Response':
        from starlette.responses import Response

        name = request.path_params.get('name') or 'index.html'
        if name not in self.page:
            raise Refused(404, 'there is no such address: POST an image to /predict')
        content, kind = self.page[name]
        return Response(content, media_type=kind, headers={'Cache-Control': 'no-cache'})

    async def _predict(self, request: 'Request') -> 'Response':
        options = request_options(request.query_params)
        if self._present >= self.limits.queue:
            seconds = max(1, round(self._present * (self._batcher.seconds if self._batcher else 1)))
            raise Refused(
                429,
                f'{self._present} images wait already: send this one again in {seconds} s',
                {'Retry-After': str(seconds), 'Connection': 'close'},
            )
        self._present += 1
        began = time.perf_counter()
        try:
            work = asyncio.ensure_future(self._answer_to(request, options, began))
            try:
                return await asyncio.wait_for(work, self.limits.timeout)
            except asyncio.TimeoutError as error:
                raise Refused(
                    504,
                    f'there was no answer within {self.limits.timeout:g} s: send a smaller image, '
                    'or send it again later',
                    {'Connection': 'close'},
                ) from error
        finally:
            self._present -= 1
            self._answered += 1

    async def _answer_to(
        self, request: 'Request', options: RequestOptions, began: float
    ) -> 'Response':
        from starlette.responses import Response

        content = await self._body(request)
        found, job, body, kind = await self._unless_gone(request, self._worked(content, options))
        height, width = found.labels.shape
        timing = (
            f'wait;dur={1000 * (time.perf_counter() - began - job.seconds):.1f}, '
            f'model;dur={1000 * job.seconds:.1f};desc="batch of {job.batch}"'
        )
        headers = {
            'Server-Timing': timing,
            'X-Image-Size': f'{width}x{height}',
            'Cache-Control': 'no-store',
        }
        return Response(body, media_type=kind, headers=headers)

    async def _body(self, request: 'Request') -> bytes:
        """The image; what is too large is read and dropped, so that the client sees its answer."""
        limit = self.limits.max_bytes
        too_large = Refused(
            413,
            f'the image has more than {limit} bytes: send a smaller one',
            {'Connection': 'close'},
        )
        if request.headers.get('content-type', '').startswith('multipart/'):
            raise Refused(
                415,
                'the body is a form: send the image itself, as with curl --data-binary @IMAGE',
                {'Connection': 'close'},
            )
        announced = request.headers.get('content-length', '')
        if announced.isdigit() and int(announced) > _DRAINED * limit:
            raise too_large
        parts: list[bytes] = []
        size = 0
        async for part in request.stream():
            size += len(part)
            if size > _DRAINED * limit:
                raise too_large
            if size > limit:
                parts.clear()
            else:
                parts.append(part)
        if size > limit:
            raise too_large
        if not size:
            raise Refused(400, 'the body is empty: send the bytes of an image')
        return b''.join(parts)

    async def _worked(self, content: bytes, options: RequestOptions) -> _Worked:
        """Segmentation of a body, how it went, and what is sent of it with its media type."""
        assert self._batcher is not None, 'the application is started'
        release = partial(asyncio.get_running_loop().call_soon_threadsafe, self._slots.release)
        step: Future[Any] | None = None
        await self._slots.acquire()  # of decoded images there are few at a time
        try:
            step = self._helpers.submit(decode, self.segmenter, content, self.limits.max_pixels)
            found, job = await self._batcher.segment(await asyncio.wrap_future(step))
            step = self._helpers.submit(options.drawn, found)
            body, kind = await asyncio.wrap_future(step)
        finally:
            # a thread cannot be stopped: whoever waits no longer leaves it, and its slot, behind
            if step is None:
                release()
            else:
                step.add_done_callback(lambda _: release())
        return found, job, body, kind

    async def _unless_gone(self, request: 'Request', work: 'Awaitable[_Worked]') -> _Worked:
        """What ``work`` gives; where the client is gone before, its image leaves the queue."""
        from starlette.requests import ClientDisconnect

        task = asyncio.ensure_future(work)
        gone = asyncio.ensure_future(_disconnected(request))
        try:
            await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise ClientDisconnect()
            return task.result()
        finally:
            task.cancel()
            gone.cancel()


async def _disconnected(request: 'Request') -> None:
    while (await request.receive())['type'] != 'http.disconnect':
        pass


def require_serving() -> Any:
    """The package uvicorn; Starlette is there, too.

    Raises:
        DependencyError: the extra is not installed.
    """
    try:
        import starlette  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise DependencyError(
            f'openseg serve needs the package {error.name}, which is not installed: pip install '
            '"openseg_plugin[serve]"'
        ) from error
    return uvicorn


def serve(service: Service, *, host: str, port: int, said: Callable[[str], None] = print) -> None:
    """Answers until it is interrupted.

    Args:
        service: what is served.
        host: address to listen at; 127.0.0.1 is reached by this machine alone.
        port: 0: any that is free.
        said: gets the sentence with the address, once it is there.

    Raises:
        ConfigError: the address is taken, or is none of this machine.
        DependencyError: the extra is not installed.
    """
    uvicorn = require_serving()
    family = socket.AF_INET6 if ':' in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=128)
    except (OSError, OverflowError) as error:
        reason = getattr(error, 'strerror', None) or error
        raise ConfigError(
            f'--host {host} --port {port} cannot be listened at ({reason}): give another port, or '
            'an address of this machine'
        ) from error
    shown = f'[{host}]' if ':' in host else host
    with listener:
        config = uvicorn.Config(
            service.application(),
            log_level='warning',
            server_header=False,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=10,
        )
        said(f'{service.name}: http://{shown}:{listener.getsockname()[1]} (Ctrl-C ends it)')
        uvicorn.Server(config).run(sockets=[listener])
