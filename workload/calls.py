"""The gRPC side: says back what it is told, once or for as long as the caller wants.

Messages are bytes as they come, so there is nothing to compile: ``/spillover.workload.Echo/Say`` answers one message,
``/spillover.workload.Echo/Chat`` each message of a stream. The initial metadata names the site (``x-served-by``).
"""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import grpc
import grpc.aio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from workload.settings import Settings

SERVICE = "spillover.workload.Echo"


class Echo:
    """Both calls, with the name of the site in their initial metadata."""

    def __init__(self, settings: Settings) -> None:
        self._metadata = (("x-served-by", settings.site_name),)

    async def say(self, message: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        """Return the message."""
        await context.send_initial_metadata(self._metadata)
        return message

    async def chat(
        self, messages: AsyncIterator[bytes], context: grpc.aio.ServicerContext[bytes, bytes]
    ) -> AsyncIterator[bytes]:
        """Return each message as it comes."""
        await context.send_initial_metadata(self._metadata)
        async for message in messages:
            yield message


def create_server(settings: Settings) -> grpc.aio.Server:
    """Build the server, which does not listen yet."""
    echo = Echo(settings)
    server = grpc.aio.server()
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        "Say": grpc.unary_unary_rpc_method_handler(echo.say),
        "Chat": grpc.stream_stream_rpc_method_handler(echo.chat),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    return server


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; calls in flight get ``drain_s`` seconds to end."""
    asyncio.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    server = create_server(settings)
    server.add_insecure_port(f"{settings.host}:{settings.port}")
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await server.start()
    await stop.wait()
    await server.stop(settings.drain_s)
