"""The service as a process on loopback, under a queue of 1,500 requests."""

import asyncio
import contextlib
import io
import os
import resource
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
PHOTO = (ROOT / "loadtest/images/rocket.jpg").read_bytes()
WAITING = 1500


def jpeg(width, height):
    out = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(out, "JPEG")
    return out.getvalue()


SMALL, LARGE = jpeg(16, 16), jpeg(6000, 4000)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def service(**options):
    port = free_port()
    environ = {**os.environ, "PORT": str(port), "HOST": "127.0.0.1", "SITE_NAME": "edge1", "DRAIN_S": "0"}
    with subprocess.Popen([sys.executable, "-m", "workload"], cwd=ROOT, env=environ, **options) as process:
        try:
            for _ in range(200):
                with contextlib.suppress(httpx.TransportError):
                    if httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200:
                        break
                time.sleep(0.05)
            yield process, port
        finally:
            process.kill()


async def send(port, body):
    """Open a connection and send one request on it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /thumbnail HTTP/1.1\r\nhost: app\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    await writer.drain()
    return reader, writer  # a writer that is dropped closes its connection


async def answer(connection):
    """Read an answer's head, and return its status and the time it waited."""
    reader, _writer = connection
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
    return int(head.split()[1]), float(headers.get("x-queue-ms", "nan"))


async def slowest_probe_s(port, *, until):
    """Ask /healthz and /readyz until the future is done; return the longest time either took."""
    slowest_s = 0.0
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=5) as client:
        while not until.done():
            for path in ("/healthz", "/readyz"):
                began_s = time.perf_counter()
                assert (await client.get(path)).status_code == 200
                slowest_s = max(slowest_s, time.perf_counter() - began_s)
            await asyncio.sleep(0.05)
    return slowest_s


def test_1500_waiting_requests_are_answered_in_order_while_the_probes_answer_within_a_second():
    async def scenario(port):
        done = asyncio.get_running_loop().create_future()
        probe = asyncio.ensure_future(slowest_probe_s(port, until=done))
        photos = [await send(port, PHOTO) for _ in range(200)]  # they hold the queue while it fills
        small, order = [await send(port, SMALL) for _ in range(WAITING)], []

        async def finish(number, connection):
            result = await answer(connection)
            order.append(number)
            return result

        results = await asyncio.gather(*(finish(number, connection) for number, connection in enumerate(small)))
        await asyncio.gather(*(answer(connection) for connection in photos))
        done.set_result(None)
        return results, order, await probe

    with service() as (_process, port):
        results, order, slowest_s = asyncio.run(scenario(port))
    assert {status for status, _ in results} == {200}
    assert order == sorted(order)
    assert min(queue_ms for _, queue_ms in results) > 100  # it was a queue: even the first had to wait
    assert slowest_s < 1


def test_1500_waiting_photos_fit_into_a_small_pod():
    async def scenario(process, port):
        photos = [await send(port, PHOTO) for _ in range(WAITING + 300)]
        async with asyncio.timeout(30):
            while not photos[100][0].at_eof() and not photos[100][0]._buffer:  # work goes on while they wait
                await asyncio.sleep(0.01)
        done = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.5, done.set_result, None)
        slowest_s = await slowest_probe_s(port, until=done)
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
        waiting = sum(not reader._buffer for reader, _writer in photos)
        assert not any(reader.at_eof() for reader, _writer in photos)
        return int(status.split("VmHWM:")[1].split()[0]) / 1024, slowest_s, waiting

    with service() as (process, port):
        peak_mib, slowest_s, waiting = asyncio.run(scenario(process, port))
    print(f"{waiting} waiting photos: peak memory {peak_mib:.0f} MiB, slowest probe {slowest_s * 1000:.0f} ms")
    assert waiting >= 1400
    assert peak_mib < 256
    assert slowest_s < 1


def test_a_low_soft_limit_of_open_files_does_not_bound_the_queue():
    def lower_soft_limit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))

    with service(preexec_fn=lower_soft_limit) as (process, _port):
        soft, hard = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    assert soft == hard > 64


def test_a_setting_that_cannot_be_used_ends_the_process_with_one_sentence():
    environ = {**os.environ, "WORKERS": "none"}
    ended = subprocess.run(
        [sys.executable, "-m", "workload"], cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (2, "WORKERS must be a whole number from 1 to 64, got 'none'\n")


@pytest.mark.parametrize("queued", [0, 5])
def test_sigterm_ends_the_process_soon(queued):
    async def scenario(process, port):
        readers = [await send(port, LARGE) for _ in range(queued)]
        process.terminate()
        began_s = time.perf_counter()
        await asyncio.to_thread(process.wait, 10)
        return time.perf_counter() - began_s, readers

    with service() as (process, port):
        took_s, _ = asyncio.run(scenario(process, port))
    assert took_s < 5
