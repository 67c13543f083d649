"""The application in one process, called through ASGI; the work is a fake that the test holds and releases."""

import asyncio
import threading
from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient

from workload.app import create_app
from workload.settings import Settings

PHOTO = (Path(__file__).parents[2] / "loadtest/images/rocket.jpg").read_bytes()


class HeldWork:
    """Work that stands still until released, and remembers the order in which it began."""

    def __init__(self):
        self.began = []
        self.release = threading.Event()

    def __call__(self, image, _width, _pixels):
        if image[:2] != b"\xff\xd8":  # the warm-up at start is a real JPEG
            self.began.append(image)
            assert self.release.wait(10)
        return b"thumbnail"


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


def run(scenario, **options):
    """Run `scenario(client, app)` against a started application."""
    work = options.pop("work", None)
    app = create_app(Settings(site_name="edge1", **options), *([work] if work else []))

    async def started():
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app.example") as client,
        ):
            return await scenario(client, app)

    return asyncio.run(started())


def post(body=PHOTO, query="", **options):
    async def scenario(client, _app):
        return await client.post(f"/thumbnail{query}", content=body)

    return run(scenario, **options)


def test_a_photo_becomes_a_thumbnail_and_the_answer_says_what_it_cost():
    answer = post(query="?width=64")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    assert answer.headers["x-served-by"] == "edge1"
    processing_ms, queue_ms, service_ms, cpu_ms = (
        float(answer.headers[f"x-{name}-ms"]) for name in ("processing", "queue", "service", "cpu")
    )
    assert processing_ms >= queue_ms + service_ms
    assert service_ms > 1
    assert cpu_ms > 1


@pytest.mark.parametrize(
    ("body", "query", "status", "sentence"),
    [
        (b"", "", 400, "The body must be an image, got nothing."),
        (b"hello", "", 415, "The body must be an image of format JPEG, PNG, WEBP."),
        (PHOTO[:20_000], "", 400, "The image cannot be decoded"),
        (PHOTO, "?width=0", 400, "width must be a whole number from 1 to 2048, got '0'."),
        (PHOTO, "?width=wide", 400, "width must be a whole number from 1 to 2048, got 'wide'."),
        (bytes(50_001), "", 413, "The body may have 50000 bytes at most, got 50001."),
    ],
)
def test_a_request_that_cannot_be_served_is_told_why_in_one_sentence(body, query, status, sentence):
    answer = post(body, query, max_body_bytes=50_000)
    assert answer.status_code == status
    assert answer.text.startswith(sentence)
    assert answer.text.count("\n") == 1
    assert answer.headers["x-served-by"] == "edge1"


def test_a_body_without_a_declared_length_is_limited_too():
    async def chunks():
        for _ in range(6):
            yield bytes(10_000)

    answer = post(chunks(), max_body_bytes=50_000)
    assert (answer.status_code, answer.text) == (413, "The body may have 50000 bytes at most, got more.\n")


def test_an_image_with_too_many_pixels_is_refused():
    assert post(max_pixels=1000).status_code == 413


def test_requests_are_worked_on_in_the_order_of_their_arrival():
    work = HeldWork()

    async def scenario(client, _app):
        bodies = [f"request {number}".encode() for number in range(20)]
        answers = []
        for body in bodies:
            answers.append(asyncio.ensure_future(client.post("/thumbnail", content=body)))
            await asyncio.sleep(0.005)
        work.release.set()
        assert {answer.status_code for answer in await asyncio.gather(*answers)} == {200}
        return bodies

    assert run(scenario, work=work) == work.began


@pytest.mark.parametrize("workers", [1, 3])
def test_no_more_requests_are_worked_on_at_once_than_there_are_workers(workers):
    work = HeldWork()

    async def scenario(client, _app):
        answers = [asyncio.ensure_future(client.post("/thumbnail", content=b"x")) for _ in range(8)]
        await until(lambda: len(work.began) == workers)
        await asyncio.sleep(0.1)
        assert len(work.began) == workers
        work.release.set()
        await asyncio.gather(*answers)

    run(scenario, work=work, workers=workers)
    assert len(work.began) == 8


def test_the_waiting_time_is_reported_as_queue_time():
    work = HeldWork()

    async def scenario(client, _app):
        first = asyncio.ensure_future(client.post("/thumbnail", content=b"first"))
        await until(lambda: work.began)
        second = asyncio.ensure_future(client.post("/thumbnail", content=b"second"))
        await asyncio.sleep(0.2)
        work.release.set()
        await first
        return await second

    answer = run(scenario, work=work)
    assert float(answer.headers["x-queue-ms"]) > 150
    assert float(answer.headers["x-service-ms"]) < 100


async def call(app, body, hung_up):
    """Call the application like a server would, with a client that hangs up once `hung_up` is set."""
    messages, sent = [{"type": "http.request", "body": body, "more_body": False}], []

    async def receive():
        if messages:
            return messages.pop(0)
        await hung_up.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/thumbnail", "query_string": b"", "headers": [], "app": app}
    await app(scope, receive, send)
    return sent[0]["status"]


def test_a_client_that_went_away_is_not_worked_on():
    work = HeldWork()

    async def scenario(client, app):
        first = asyncio.ensure_future(client.post("/thumbnail", content=b"first"))
        await until(lambda: work.began)
        hung_up = asyncio.Event()
        second = asyncio.ensure_future(call(app, b"second", hung_up))
        await asyncio.sleep(0.05)
        third = asyncio.ensure_future(client.post("/thumbnail", content=b"third"))
        hung_up.set()
        assert await second == 499
        work.release.set()
        await asyncio.gather(first, third)

    run(scenario, work=work)
    assert work.began == [b"first", b"third"]


def test_a_client_that_hangs_up_while_it_sends_is_no_error():
    async def scenario(_client, app):
        async def receive():
            return {"type": "http.disconnect"}

        sent = []

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/thumbnail", "query_string": b"", "headers": [], "app": app}
        await app(scope, receive, send)
        return sent[0]["status"]

    assert run(scenario) == 499


def test_the_probes_answer_and_readiness_waits_for_the_first_thumbnail():
    app = create_app(Settings())

    async def scenario():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app.example") as client:
            before = (await client.get("/healthz")).status_code, (await client.get("/readyz")).status_code
            async with app.router.lifespan_context(app):
                during = (await client.get("/healthz")).status_code, (await client.get("/readyz")).status_code
            return before, during

    assert asyncio.run(scenario()) == ((200, 503), (200, 200))


def test_a_websocket_says_back_what_it_is_told_and_who_serves():
    with TestClient(create_app(Settings(site_name="edge1"))) as client, client.websocket_connect("/echo") as socket:
        assert dict(socket.extra_headers) == {b"x-served-by": b"edge1"}
        for message in ("one", "two"):
            socket.send_text(message)
            assert socket.receive_text() == message
