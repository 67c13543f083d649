"""The generator as Locust processes (its plugin and its patches stay out of this one) against servers on loopback."""

import asyncio
import collections
import contextlib
import csv
import json
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PHOTO = (ROOT / "loadtest/images/rocket.jpg").read_bytes()
GOOD = (
    b"HTTP/1.1 200 OK\r\nx-served-by: edge2\r\nx-processing-ms: 12.5\r\nx-service-ms: 8.25\r\n"
    b"content-length: 2\r\n\r\nok"
)


@dataclass
class Server:
    """A loopback server in a thread; `answer(number)` returns the bytes to send, or None to stay silent."""

    answer: object
    hold: int = 0  # answer nobody before this many requests are open
    heads: list = field(default_factory=list)
    bodies: set = field(default_factory=set)
    most_open: int = 0
    port: int = 0

    @contextlib.contextmanager
    def running(self):
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), loop).result(10)
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(10)

    async def _listen(self):
        self._open, self._go = 0, asyncio.Event()
        if not self.hold:
            self._go.set()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=2048)
        self.port = server.sockets[0].getsockname()[1]

    async def _serve(self, reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = int(head.lower().split("content-length: ")[1].split("\r\n")[0])
                self.bodies.add(await reader.readexactly(length))
                number = len(self.heads)
                self.heads.append(head)
                self._open += 1
                self.most_open = max(self.most_open, self._open)
                if self._open == self.hold:
                    self._go.set()
                await self._go.wait()
                self._open -= 1
                if answer := self.answer(number):
                    writer.write(answer)
                else:
                    await asyncio.sleep(60)
        writer.close()


def good(_number):
    return GOOD


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def stream(port, **options):
    return {
        "origin": "edge1",
        "url": f"http://127.0.0.1:{port}",
        "path": "/thumbnail?width=128",
        "host": "edgeapp.example",
        "arrivals": "even",
        **options,
    }


def steady(port, rps, **options):
    return stream(port, steps=[{"from_s": 0, "rps": rps}], **options)


def locust(*options):
    return [
        sys.executable,
        "-m",
        "locust",
        "-f",
        ROOT / "loadtest/locustfile.py",
        "--headless",
        "--only-summary",
        *options,
    ]


@dataclass
class Outcome:
    code: int
    output: str
    rows: list
    summary: dict
    worker_codes: list


def run(tmp_path, streams, *, workers=0, **plan):
    """Run a whole load to its own end and read what it wrote."""
    config, samples = tmp_path / "load.json", tmp_path / "out" / "samples.csv"
    config.write_text(json.dumps({"streams": streams, "timeout_s": 5, "drain_s": 6, **plan}), encoding="utf-8")
    master = ["--load-config", config, "--samples", samples]
    if workers:
        port = str(free_port())
        address = ["--master-port", port]
        master += ["--master", "--expect-workers", str(workers), "--master-bind-host", "127.0.0.1"]
        master += ["--master-bind-port", port]
    started = [
        subprocess.Popen(locust("--worker", *address), cwd=tmp_path, stderr=subprocess.DEVNULL) for _ in range(workers)
    ]
    ended = subprocess.run(locust(*master), cwd=tmp_path, capture_output=True, text=True, check=False, timeout=100)
    codes = [process.wait(20) for process in started]
    rows, summary = [], {}
    if samples.exists():
        with samples.open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        summary = json.loads((samples.parent / "load-summary.json").read_text(encoding="utf-8"))
    return Outcome(ended.returncode, ended.stderr + ended.stdout, rows, summary, codes)


def test_every_request_is_sent_at_its_time_and_recorded(tmp_path):
    with Server(good).running() as server:
        outcome = run(tmp_path, [steady(server.port, 20)], duration_s=2)
    assert outcome.code == 0, outcome.output
    assert [row["request_id"] for row in outcome.rows] == [str(number) for number in range(40)]
    for row in outcome.rows:
        assert (row["origin"], row["serving_site"], row["status"], row["error"]) == ("edge1", "edge2", "200", "")
        assert (row["processing_ms"], row["service_ms"]) == ("12.5", "8.25")
        late_s = float(row["start_s"]) - float(row["scheduled_at_s"])
        assert float(row["lateness_ms"]) == pytest.approx(1000 * late_s, abs=0.01)
        start_s = float(row["start_time_s"]) - outcome.summary["started_at_s"]
        assert start_s == pytest.approx(float(row["start_s"]), abs=1e-4)
    assert [float(row["scheduled_at_s"]) for row in outcome.rows[:2]] == [0.025, 0.075]
    assert outcome.summary["requests"] == outcome.summary["planned"] == 40
    assert outcome.summary["stopped_by"] == "duration"
    assert "40     0(0.00%)" in outcome.output  # Locust's own statistics saw them too
    assert server.bodies == {PHOTO}
    assert server.heads[0].startswith("POST /thumbnail?width=128 HTTP/1.1\r\n")
    assert "host: edgeapp.example\r\n" in server.heads[0].lower()


def test_1440_requests_are_in_flight_at_once_against_a_stalled_site(tmp_path):
    with Server(good, hold=1440).running() as server:
        outcome = run(tmp_path, [steady(server.port, 240)], workers=2, duration_s=6, timeout_s=40, drain_s=41)
    assert outcome.code == 0, outcome.output
    assert server.most_open == 1440
    assert (len(outcome.rows), {row["status"] for row in outcome.rows}) == (1440, {"200"})
    assert float(outcome.rows[0]["latency_ms"]) > 5000  # the first waited for the last
    assert outcome.summary["workers"] == 2
    assert outcome.worker_codes == [0, 0]


def test_the_split_over_workers_sends_each_request_once(tmp_path):
    with Server(good).running() as server:
        streams = [
            steady(server.port, 15, arrivals="poisson", seed=7),
            stream(server.port, origin="edge2", arrivals="closed", users=3),
        ]
        outcome = run(tmp_path, streams, workers=2, duration_s=2, max_requests=60)
    assert outcome.code == 0, outcome.output
    counts = collections.Counter(row["request_id"] for row in outcome.rows)
    assert set(counts.values()) == {1}
    assert len(counts) == len(server.heads) == 60
    planned = sorted(int(name) for name in counts if "." not in name)
    assert planned == list(range(outcome.summary["planned"]))
    assert outcome.summary["stopped_by"] == "max_requests"


def test_errors_and_timeouts_are_rows_with_their_latency(tmp_path):
    answers = {
        0: GOOD,
        1: b"HTTP/1.1 503 Service Unavailable\r\nx-served-by: edge1\r\ncontent-length: 4\r\n\r\nbusy",
        2: None,
        3: b"HTTP/1.1 302 Found\r\nlocation: http://192.0.2.1/\r\ncontent-length: 0\r\n\r\n",
    }
    with Server(answers.get).running() as server:
        streams = [steady(server.port, 2), steady(free_port(), 1, origin="nobody")]
        outcome = run(tmp_path, streams, duration_s=2, timeout_s=2, drain_s=3)
    assert outcome.code == 0, outcome.output
    rows = [row for row in outcome.rows if row["origin"] == "edge1"]
    results = [(row["status"], row["error"], row["serving_site"]) for row in rows]
    assert results == [
        ("200", "", "edge2"),
        ("503", "HTTP 503", "edge1"),
        ("0", "timeout", ""),
        ("302", "HTTP 302", ""),
    ]
    assert rows[2]["latency_ms"] == "2000.0"
    refused = [(row["status"], row["error"]) for row in outcome.rows if row["origin"] == "nobody"]
    assert refused == [("0", "Connection refused")] * 2
    assert outcome.summary["errors"] == 5


def test_users_of_a_closed_loop_wait_for_their_answers(tmp_path):
    with Server(good, hold=0).running() as server:
        outcome = run(tmp_path, [stream(server.port, arrivals="closed", users=4)], duration_s=1)
    assert outcome.code == 0, outcome.output
    assert 0 < server.most_open <= 4
    assert len(outcome.rows) == len(server.heads) > 40
    assert outcome.summary["lateness_p99_ms"] is None


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"streams": [steady(80, 1, url="http://192.0.2.1:80")]}, "load goes only to 198.18.0.0/15"),
        ({"duration_s": -1}, "duration_s must be above 0, got -1"),
    ],
)
def test_a_plan_that_cannot_be_run_is_refused_with_one_sentence_before_anything_is_sent(tmp_path, changes, sentence):
    outcome = run(tmp_path, **{"streams": [steady(80, 1)], "duration_s": 1, **changes})
    assert outcome.code == 2
    assert sentence in outcome.output
    assert "Traceback" not in outcome.output
    assert outcome.rows == []


def test_a_missing_plan_is_refused():
    ended = subprocess.run(locust(), capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 2
    assert "--load-config is missing" in ended.stderr


def test_a_worker_that_dies_fails_the_run_and_nothing_is_written(tmp_path):
    config, port = tmp_path / "load.json", str(free_port())
    with Server(good).running() as server:
        config.write_text(
            json.dumps({"streams": [steady(server.port, 5)], "duration_s": 60, "timeout_s": 5, "drain_s": 6}),
            encoding="utf-8",
        )
        workers = [
            subprocess.Popen(locust("--worker", "--master-port", port), stderr=subprocess.DEVNULL, cwd=tmp_path)
            for _ in range(2)
        ]
        options = ["--master", "--expect-workers", "2", "--master-bind-host", "127.0.0.1", "--master-bind-port", port]
        with subprocess.Popen(
            locust(*options, "--load-config", config), cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
        ) as master:
            while not server.heads and master.poll() is None:
                time.sleep(0.1)
            workers[0].terminate()
            output = master.communicate(timeout=60)[1].decode()
        for worker in workers:
            worker.wait(20)
    assert master.returncode == 1
    assert "went away before it had reported its requests" in output
    assert not (tmp_path / "samples.csv").exists()
