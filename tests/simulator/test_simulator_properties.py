"""Whatever the scenario: every request ends once, nothing loops, and the same seed gives the same run."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spillover.simulator import scenario as scenarios
from spillover.simulator.engine import simulate
from spillover.simulator.state import SERVED, SHED
from spillover.simulator.summary import count_loops, summarise

NAMES = ("a", "b", "c")
DURATION_S = 12.0
SERVICES = ({}, {"distribution": "deterministic"}, {"distribution": "lognormal", "cv": 2.0})


@st.composite
def scenarios_of_three(draw):
    sites = {
        name: {
            "capacity_rps": draw(st.floats(1, 50)),
            "servers": draw(st.integers(1, 4)),
            "discipline": draw(st.sampled_from(["ps", "fcfs"])),
            "service": draw(
                st.sampled_from([{}, {"distribution": "deterministic"}, {"distribution": "lognormal", "cv": 2.0}])
            ),
            "queue_limit": draw(st.none() | st.integers(0, 5)),
        }
        for name in NAMES
    }
    pairs = [(origin, peer) for origin in NAMES for peer in NAMES if origin != peer]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True))
    arrivals = draw(
        st.dictionaries(
            st.sampled_from(NAMES),
            st.floats(0, 40).map(lambda rps: [{"from_s": 0, "rps": rps}])
            | st.builds(lambda users, think: {"users": users, "think_s": think}, st.integers(1, 8), st.floats(0, 2)),
            min_size=1,
        )
    )
    events = st.builds(
        lambda at, site, factor: {"at_s": at, "site": site, "capacity_factor": factor},
        st.floats(0, DURATION_S),
        st.sampled_from(NAMES),
        st.sampled_from([0.0, 0.5, 1.0, 2.0]),
    )
    return scenarios.from_dict(
        {
            "duration_s": DURATION_S,
            "sites": sites,
            "links": [{"from": a, "to": b, "rtt_ms": draw(st.sampled_from([0, 10, 200]))} for a, b in chosen],
            "arrivals": arrivals,
            "control": {
                "trigger": draw(st.sampled_from(["bucket", "inflight", "both"])),
                "timeout_s": draw(st.none() | st.floats(0.5, 5)),
                "attempts": draw(st.integers(1, 5)),
                "period_s": draw(st.sampled_from([0.5, 1.0, 5.0])),
                "delay_s": draw(st.sampled_from([0.0, 0.3, 7.0])),
            },
            # At the end everything lives again, so that everything can be followed to its end.
            "events": [
                *draw(st.lists(events, max_size=4)),
                *({"at_s": DURATION_S, "site": name, "capacity_factor": 1.0} for name in NAMES),
            ],
        }
    )


@pytest.mark.parametrize(("policy", "mode"), [("paper", "weights"), ("paper", "overflow"), ("sed", "overflow")])
@settings(max_examples=25, deadline=None)
@given(where=scenarios_of_three(), seed=st.integers(0, 2**32))
def test_every_request_ends_once_and_nothing_loops(policy, mode, where, seed):
    run = simulate(where, policy, mode, seed)
    requests = run.requests
    assert np.all(np.isfinite(requests["answered_s"]))
    assert np.all(np.isin(requests["status"], [SERVED, SHED]))
    assert np.all(requests["answered_s"] >= requests["arrival_s"])
    assert np.all(requests["sent"][requests["status"] == SERVED] >= 1)
    linked = {(link.origin, link.peer) for link in where.links} | {(name, name) for name in NAMES}
    hops = run.path[run.path[:, :, 1] >= 0]
    assert {(NAMES[sender], NAMES[to]) for sender, to in np.unique(hops, axis=0)} <= linked
    if policy != "sed":  # which, told of a death, may come back to where it has been
        assert count_loops(run) == 0
    assert simulate(where, policy, mode, seed).requests.tobytes() == requests.tobytes()
    summary = summarise(run)
    parts = [summary["shed_fraction"], summary["timeout_fraction"], summary["goodput_rps"] * DURATION_S]
    if summary["requests"]:
        assert parts[0] + parts[1] + parts[2] / summary["requests"] == pytest.approx(1)
