"""SIGTERM and SIGINT as an event: the loop ends what it has begun, and the process exits with 0."""

from __future__ import annotations

import os
import signal
import threading


def stop_on_signals() -> threading.Event:
    """Return an event that either signal sets.

    Not from the handler: that runs in the main thread, between any two of its instructions, and would wait for ever for
    the event's lock if the main thread is just holding it. The interpreter writes the signal to a pipe instead, and a
    thread that reads there sets the event.
    """
    stop = threading.Event()
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    threading.Thread(target=_set_after_read, args=(read, stop), name="signals", daemon=True).start()
    return stop


def _set_after_read(read: int, stop: threading.Event) -> None:
    os.read(read, 1)
    stop.set()
