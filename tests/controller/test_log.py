from __future__ import annotations

import io
import json
import threading

import pytest

from spillover.controller.log import json_log


def test_each_event_is_one_json_line_that_begins_with_its_name() -> None:
    stream = io.StringIO()
    log = json_log(stream)
    log("tick", {"time": 1.5, "written": ["edge1"]})
    assert stream.getvalue() == '{"event": "tick", "time": 1.5, "written": ["edge1"]}\n'


def test_nan_never_reaches_the_log() -> None:
    with pytest.raises(ValueError, match="JSON"):
        json_log(io.StringIO())("tick", {"time": float("nan")})


def test_threads_do_not_mix_their_lines() -> None:
    stream = io.StringIO()
    log = json_log(stream)
    threads = [threading.Thread(target=lambda: [log("e", {"x": "y" * 500}) for _ in range(50)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 200
    assert {json.loads(line)["x"] for line in lines} == {"y" * 500}
