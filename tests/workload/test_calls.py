"""The gRPC side as a process on loopback."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import grpc
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def server():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    environ = {**os.environ, "PORT": str(port), "HOST": "127.0.0.1", "SITE_NAME": "edge1", "PROTOCOL": "grpc"}
    with subprocess.Popen([sys.executable, "-m", "workload"], cwd=ROOT, env=environ) as process:
        try:
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                grpc.channel_ready_future(channel).result(timeout=20)
                yield process, channel
        finally:
            process.kill()


def test_one_message_is_said_back_and_the_site_named(server):
    answer, call = server[1].unary_unary("/spillover.workload.Echo/Say").with_call(b"hello", timeout=5)
    assert answer == b"hello"
    assert ("x-served-by", "edge1") in [tuple(pair) for pair in call.initial_metadata()]


def test_each_message_of_a_stream_is_said_back(server):
    call = server[1].stream_stream("/spillover.workload.Echo/Chat")(iter([b"a", b"b", b"c"]), timeout=5)
    assert ("x-served-by", "edge1") in [tuple(pair) for pair in call.initial_metadata()]
    assert list(call) == [b"a", b"b", b"c"]


def test_another_method_is_unimplemented(server):
    with pytest.raises(grpc.RpcError) as refused:
        server[1].unary_unary("/spillover.workload.Echo/Sing")(b"", timeout=5)
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_sigterm_ends_it_with_0(server):
    process, _ = server
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 0
