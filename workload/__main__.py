"""Start the service: ``python -m workload``."""

from __future__ import annotations

import os
import resource
import sys

import uvicorn

from workload.app import create_app
from workload.settings import Settings, SettingsError

# A proxy keeps idle connections for an hour. If this side closed them first, a request could meet a connection that is
# just being closed, and fail.
KEEP_ALIVE_S = 2 * 3600
# A proxy opens one connection for each waiting request; a burst of them must not be refused.
BACKLOG = 4096


def main() -> int:
    """Serve until SIGTERM; 2 is returned for settings that cannot be used."""
    try:
        settings = Settings.from_environ(os.environ)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    # Every waiting request holds a connection; the soft limit is often 1,024, the hard limit is the machine's word.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if settings.protocol == "grpc":
        from workload import calls  # noqa: PLC0415  a second of start-up under a CPU limit, for this protocol alone

        calls.run(settings)
        return 0
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        http="httptools",
        ws="websockets-sansio",
        access_log=False,
        log_level="warning",
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=settings.drain_s,
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
