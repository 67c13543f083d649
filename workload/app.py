"""The HTTP side: reads requests, queues the work, answers."""

from __future__ import annotations

import asyncio
import contextlib
import io
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

from PIL import Image
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocketDisconnect

from workload.thumbnails import (
    MAX_WIDTH,
    BrokenImageError,
    ImageError,
    ImageTooLargeError,
    UnknownFormatError,
    make_thumbnail,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from starlette.requests import Request
    from starlette.websockets import WebSocket

    from workload.settings import Settings

DEFAULT_WIDTH = 128
# Nobody reads this answer: the client has closed its connection. The number is nginx's for the same event.
CLIENT_GONE_STATUS = 499
STATUS = {UnknownFormatError: 415, BrokenImageError: 400, ImageTooLargeError: 413}


class Work(NamedTuple):
    """A finished piece of work: the thumbnail, when work on it began and ended, and the processor time it took."""

    thumbnail: bytes
    began_s: float
    ended_s: float
    cpu_s: float


class BadRequestError(ValueError):
    """A request that cannot be served; carries the status to answer with."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Service:
    """One queue, worked off in order by a bounded number of threads.

    The queue is that of a ThreadPoolExecutor: first in, first out, unbounded, and a job that is cancelled while it
    waits is skipped. `work` turns (image, width, max_pixels) into a thumbnail.
    """

    def __init__(self, settings: Settings, work: Callable[[bytes, int, int], bytes]) -> None:
        self._settings = settings
        self._work = work
        self._threads = ThreadPoolExecutor(settings.workers, thread_name_prefix="thumbnail")
        self._ready = False

    @contextlib.asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """Make one thumbnail before the first request, which loads Pillow's codecs; drop the queue at the end."""
        blank = io.BytesIO()
        Image.new("RGB", (16, 16)).save(blank, "JPEG")
        await self._run(blank.getvalue(), DEFAULT_WIDTH)
        self._ready = True
        yield
        self._ready = False
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def healthz(self, _request: Request) -> Response:
        """Answer while the event loop turns, whatever waits in the queue."""
        return self._text(200, "ok")

    async def readyz(self, _request: Request) -> Response:
        """Answer 200 once the service can work. A long queue is no reason to be taken out of service."""
        return self._text(200, "ready") if self._ready else self._text(503, "starting")

    async def thumbnail(self, request: Request) -> Response:
        """Queue the image of the request's body and answer with its thumbnail."""
        arrived_s = time.perf_counter()
        try:
            width = _width(request)
            image = await self._body(request)
            queued_s = time.perf_counter()
            work = await self._unless_gone(request, self._run(image, width))
        except (ClientDisconnect, _ClientGoneError):
            return Response(status_code=CLIENT_GONE_STATUS)
        except asyncio.CancelledError:  # the server cancels what is still waiting when its time to drain is over
            return self._text(503, "The service is stopping.")
        except BadRequestError as error:
            return self._text(error.status, str(error))
        except ImageError as error:
            return self._text(STATUS[type(error)], str(error))
        return Response(
            work.thumbnail,
            media_type="image/jpeg",
            headers={
                "x-served-by": self._settings.site_name,
                "x-processing-ms": _milliseconds(time.perf_counter() - arrived_s),
                "x-queue-ms": _milliseconds(work.began_s - queued_s),
                "x-service-ms": _milliseconds(work.ended_s - work.began_s),
                "x-cpu-ms": _milliseconds(work.cpu_s),
            },
        )

    async def echo(self, socket: WebSocket) -> None:
        """Say back each message: a connection that lasts as long as its client wants, however requests are led."""
        await socket.accept(headers=[(b"x-served-by", self._settings.site_name.encode())])
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                await socket.send_text(await socket.receive_text())

    def _run(self, image: bytes, width: int) -> asyncio.Future[Work]:
        return asyncio.get_running_loop().run_in_executor(self._threads, self._timed_work, image, width)

    def _timed_work(self, image: bytes, width: int) -> Work:
        began_s, cpu_began_s = time.perf_counter(), time.thread_time()
        thumbnail = self._work(image, width, self._settings.max_pixels)
        return Work(thumbnail, began_s, time.perf_counter(), time.thread_time() - cpu_began_s)

    async def _unless_gone(self, request: Request, job: asyncio.Future[Work]) -> Work:
        """Wait for the job, or for the client to hang up, which takes the job out of the queue."""
        gone = asyncio.ensure_future(_hung_up(request))
        waited_for: set[asyncio.Future[Any]] = {job, gone}
        try:
            await asyncio.wait(waited_for, return_when=asyncio.FIRST_COMPLETED)
            if not job.done():
                raise _ClientGoneError
            return job.result()
        finally:
            job.cancel()
            gone.cancel()

    async def _body(self, request: Request) -> bytes:
        limit = self._settings.max_body_bytes
        declared = request.headers.get("content-length", "0")
        if declared.isdigit() and int(declared) > limit:
            raise BadRequestError(413, f"The body may have {limit} bytes at most, got {declared}.")
        chunks, size = [], 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit:
                raise BadRequestError(413, f"The body may have {limit} bytes at most, got more.")
            chunks.append(chunk)
        if not size:
            raise BadRequestError(400, "The body must be an image, got nothing.")
        return b"".join(chunks)

    def _text(self, status: int, sentence: str) -> Response:
        return PlainTextResponse(sentence + "\n", status, headers={"x-served-by": self._settings.site_name})


class _ClientGoneError(Exception):
    """The client hung up while its request waited."""


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _width(request: Request) -> int:
    text = request.query_params.get("width", str(DEFAULT_WIDTH))
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MAX_WIDTH):
        raise BadRequestError(400, f"width must be a whole number from 1 to {MAX_WIDTH}, got {text!r}.")
    return int(text)


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.3f}"


def create_app(settings: Settings, work: Callable[[bytes, int, int], bytes] = make_thumbnail) -> Starlette:
    """Build the ASGI application; `work` is what turns (image, width, max_pixels) into a thumbnail."""
    service = Service(settings, work)
    return Starlette(
        routes=[
            Route("/thumbnail", service.thumbnail, methods=["POST"]),
            Route("/healthz", service.healthz, methods=["GET"]),
            Route("/readyz", service.readyz, methods=["GET"]),
            WebSocketRoute("/echo", service.echo),
        ],
        lifespan=service.lifespan,
    )
