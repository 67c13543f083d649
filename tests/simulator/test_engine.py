from __future__ import annotations

import numpy as np
import pytest
from simulator_helpers import Fixed, constant, even_work, latencies_s, link, scenario, served_by, site

from spillover.model import SpilloverError
from spillover.simulator import engine
from spillover.simulator.engine import simulate, simulate_with
from spillover.simulator.state import SHED

TRIO = [link("edge1", "edge2", 10), link("edge2", "edge1", 10), link("edge1", "cloud", 40), link("edge2", "cloud", 40)]
IN_ORDER = {"edge1": ("edge2", "cloud"), "edge2": ("edge1", "cloud"), "cloud": ()}


def trio(rps=1.0, *, kind=even_work, **more):
    sites = {"edge1": kind(10), "edge2": kind(10), "cloud": kind(20, 2)}
    return scenario(sites, {"edge1": constant(rps)}, **({"links": TRIO} | more))


def scenario_steps(steps):
    return scenario({"edge1": site(1)}, {"edge1": steps}).arrivals


def overflow(where, policy, **more):
    return simulate_with(where, policy, name="fixed", mode="overflow", **more)


def weights(where, policy, **more):
    return simulate_with(where, policy, name="fixed", mode="weights", **more)


@pytest.mark.parametrize(("policy", "mode"), [("local", "weights"), ("paper", "overflow"), ("sed", "overflow")])
def test_the_same_seed_gives_identical_bytes_and_another_does_not(policy, mode):
    runs = [simulate(trio(15, kind=site), policy, mode, seed) for seed in (3, 3, 4)]
    assert runs[0].requests.tobytes() == runs[1].requests.tobytes()
    assert runs[0].path.tobytes() == runs[1].path.tobytes()
    assert runs[0].requests.tobytes() != runs[2].requests.tobytes()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"policy": "magic"}, "policy must be one of .*, cooperative, sed, got 'magic'"),
        ({"policy": "local", "mode": "both"}, "mode must be one of weights, overflow, got 'both'"),
        ({"policy": "local", "seed": -1}, "seed must be at least 0, got -1"),
    ],
)
def test_what_is_unknown_is_refused(line, arguments, sentence):
    with pytest.raises(SpilloverError, match=sentence):
        simulate(line, **arguments)


def test_weights_are_obeyed_to_the_unit():
    shared = weights(
        trio(100),
        Fixed(
            {"edge1": {"edge1": 70, "edge2": 20, "cloud": 10}},
        ),
    )
    count = len(shared.requests)
    for name, share in {"edge1": 0.7, "edge2": 0.2, "cloud": 0.1}.items():
        assert served_by(shared)[name] / count == pytest.approx(share, abs=4 * 0.5 / count**0.5)


def test_a_guests_latency_is_its_service_and_one_round_trip():
    away = weights(trio(0.5), Fixed({"edge1": {"cloud": 100}}))
    assert np.min(latencies_s(away)) == pytest.approx(0.100 + 0.040)


def test_the_first_request_too_many_is_spilled_at_once_by_the_bucket():
    kept = overflow(
        trio(20, control={"trigger": "bucket", "burst": 2}, duration_s=500),
        Fixed({}, bucket_rps={"edge1": 4.0}, peer_order=IN_ORDER),
    )
    assert served_by(kept)["edge1"] / 500 == pytest.approx(4.0, rel=0.02)
    assert served_by(kept)["cloud"] == 0, "the first peer in order has no limit"


def test_a_bucket_without_a_rate_keeps_everything():
    assert served_by(overflow(trio(5), Fixed({}, peer_order=IN_ORDER)))["edge2"] == 0


def test_a_refused_attempt_pays_its_links_round_trip_and_goes_on_in_order():
    everywhere_full = Fixed({}, inflight_limit={"edge1": 0, "edge2": 0}, peer_order=IN_ORDER)
    assert np.min(latencies_s(overflow(trio(0.2), everywhere_full))) == pytest.approx(0.010 + 0.040 + 0.100)


def test_home_is_the_last_resort_past_its_limit():
    nowhere = Fixed({}, inflight_limit=dict.fromkeys(IN_ORDER, 0), peer_order=IN_ORDER)
    run = overflow(trio(0.2), nowhere)
    assert served_by(run)["edge1"] == len(run.requests)
    assert np.min(latencies_s(run)) == pytest.approx(0.010 + 0.040 + 0.100)
    assert run.path[0, :4, 1].tolist() == [0, 1, 2, 0]


def test_a_full_home_sheds_at_once_when_nobody_takes_the_request():
    sites = {"edge1": even_work(10, queue_limit=0), "edge2": even_work(10)}
    full = scenario(sites, {"edge1": constant(50)}, links=[link("edge1", "edge2")])
    run = overflow(full, Fixed({}, inflight_limit={"edge1": 1, "edge2": 0}, peer_order={"edge1": ("edge2",)}))
    shed = run.requests[run.requests["status"] == SHED]
    assert len(shed) > 0.7 * len(run.requests)
    assert np.all(shed["answered_s"] == shed["arrival_s"])


def test_no_destination_is_tried_beyond_the_allowed_attempts():
    nowhere = Fixed({}, inflight_limit=dict.fromkeys(IN_ORDER, 0), peer_order=IN_ORDER)
    run = overflow(trio(0.2, control={"attempts": 3}), nowhere)
    assert run.path[0, :, 1].tolist() == [0, 1, 0, -1]


def test_peers_with_weight_come_before_those_without():
    spilling = Fixed({"edge1": {"edge1": 50, "cloud": 50}}, inflight_limit={"edge1": 0}, peer_order=IN_ORDER)
    assert served_by(overflow(trio(1), spilling))["cloud"] > 0
    assert served_by(overflow(trio(1), spilling))["edge2"] == 0


def test_each_origin_has_the_trigger_that_the_policy_says_unless_the_scenario_says_another():
    says = {"bucket_rps": {"edge1": 0.0}, "peer_order": IN_ORDER}
    assert served_by(overflow(trio(1), Fixed({}, trigger={"edge1": "inflight"}, **says)))["edge2"] == 0
    assert served_by(overflow(trio(1), Fixed({}, trigger={"edge1": "both"}, **says)))["edge2"] > 0
    asked = trio(1, control={"trigger": "bucket"})
    assert served_by(overflow(asked, Fixed({}, trigger={"edge1": "inflight"}, **says)))["edge2"] > 0


def test_first_tries_are_drawn_by_their_own_weights_if_the_policy_has_some():
    spilling = Fixed(
        {"edge1": {"edge2": 100}},
        inflight_limit={"edge1": 0},
        peer_order=IN_ORDER,
        spill_weights={"edge1": {"cloud": 100}},
    )
    run = overflow(trio(1), spilling)
    assert served_by(run)["cloud"] == len(run.requests)


@pytest.mark.parametrize(("mode", "window_s"), [("weights", 1), ("overflow", 10)])
def test_demand_is_averaged_for_longer_where_the_proxies_react(mode, window_s):
    policy = Fixed({})
    steps = [{"from_s": 0, "rps": 0}, {"from_s": 49, "rps": 100}]
    run = simulate_with(trio().model_copy(update={"arrivals": scenario_steps(steps)}), policy, name="fixed", mode=mode)
    arrived = np.count_nonzero(run.requests["arrival_s"] < 50)
    assert policy.seen[50].sites["edge1"].demand_rps == pytest.approx(arrived / window_s)


def test_peers_take_spilled_requests_by_weight():
    spilling = Fixed({"edge1": {"edge2": 75, "cloud": 25}}, inflight_limit={"edge1": 0}, peer_order=IN_ORDER)
    taken = served_by(overflow(trio(100, duration_s=200), spilling))
    assert taken["edge2"] / (taken["edge2"] + taken["cloud"]) == pytest.approx(0.75, abs=0.015)


def test_a_peer_takes_no_more_guests_than_it_granted():
    grants = {"edge2": {"edge1": 2.0}}
    spilling = Fixed({}, inflight_limit={"edge1": 0}, grants_rps=grants, peer_order=IN_ORDER)
    run = overflow(trio(20, duration_s=300, control={"grant_burst": 2}), spilling)
    assert served_by(run)["edge2"] == pytest.approx(600, abs=3)
    assert served_by(run)["cloud"] == len(run.requests) - served_by(run)["edge2"]
    unbounded = overflow(trio(20, control={"grants": False}), spilling)
    assert served_by(unbounded)["cloud"] == 0


def test_two_origins_that_grant_nothing_to_each_other_do_not_try():
    refusing = Fixed(
        {}, inflight_limit={"edge1": 0, "cloud": 0}, grants_rps={"edge2": {"edge1": 0.0}}, peer_order=IN_ORDER
    )
    assert not np.any(overflow(trio(1), refusing).path[:, :, 1] == 1)


def test_symmetric_overload_makes_no_loop_and_never_spills_a_guest():
    both = trio(30, kind=site).model_copy(
        update={"arrivals": dict.fromkeys(("edge1", "edge2"), trio(30).arrivals["edge1"])}
    )
    run = overflow(both, Fixed({}, inflight_limit={"edge1": 1, "edge2": 1, "cloud": 2}, peer_order=IN_ORDER))
    sent = run.path[:, :, 1] >= 0
    assert np.all(run.path[:, :, 0][sent] == np.broadcast_to(run.requests["origin"][:, None], sent.shape)[sent])
    assert np.max(sent.sum(axis=1)) == 4


def test_a_decision_acts_one_delay_after_its_tick():
    def moves_after_ten_seconds(snapshot, state, **_):
        ticks = (state or 0) + 1
        away = {"edge1": {"edge2": 100}} if ticks > 10 else {}
        return Fixed(away)(snapshot, None)[0], ticks

    run = weights(trio(50, control={"delay_s": 2.5}), moves_after_ten_seconds)
    first = run.requests["arrival_s"][run.requests["destination"] == 1][0]
    assert 12.5 <= first < 12.8
    assert run.weight_writes == 1
    assert [(w.at_s, w.origin) for w in run.written if w.at_s > 0] == [(12.5, "edge1")]


def test_the_policy_sees_demand_of_the_window_queue_and_service_time():
    policy = Fixed({})
    steps = [{"from_s": 0, "rps": 5}, {"from_s": 50, "rps": 40}]
    busy = trio(control={"window_s": 10}).model_dump(by_alias=True) | {"arrivals": {"edge1": steps}}
    weights(scenario(busy.pop("sites"), busy.pop("arrivals"), **busy), policy)
    before, after = policy.seen[49].sites["edge1"], policy.seen[70].sites["edge1"]
    assert before.demand_rps == pytest.approx(5, abs=2.5)
    assert after.demand_rps == pytest.approx(40, abs=8)
    assert after.queue == pytest.approx(20 * 30 - 1, abs=120)
    assert after.service_ms == pytest.approx(100)
    assert policy.seen[55].sites["edge1"].demand_rps == pytest.approx((5 * 5 + 5 * 40) / 10, abs=6)


def test_demand_counted_after_the_split_misses_what_was_spilled():
    policy = Fixed({"edge1": {"edge1": 25, "cloud": 75}})
    weights(trio(40, control={"demand_from": "kept", "window_s": 20}), policy)
    assert policy.seen[90].sites["edge1"].demand_rps == pytest.approx(10, abs=3)


def dying(**more):
    events = [{"at_s": 50, "site": "edge1", "capacity_factor": 0}, {"at_s": 60, "site": "edge1", "capacity_factor": 1}]
    return trio(8, kind=site, events=events, **more)


def test_with_plain_weights_a_dead_site_loses_what_it_has_and_what_comes():
    run = weights(dying(), Fixed({}))
    shed = run.requests["arrival_s"][run.requests["status"] == SHED]
    assert 40 < np.min(shed) < 50.5
    assert 59 < np.max(shed) < 60
    assert len(shed) >= np.count_nonzero((run.requests["arrival_s"] >= 50) & (run.requests["arrival_s"] < 60))


def test_in_overflow_mode_a_dead_site_costs_no_request():
    policy = Fixed({}, peer_order=IN_ORDER)
    run = overflow(dying(), policy)
    assert not np.any(run.requests["status"] == SHED)
    assert served_by(run)["edge2"] >= 50
    assert [seen.sites["edge1"].healthy for seen in policy.seen[49:62]] == [True] * 1 + [False] * 10 + [True] * 2


def test_a_site_that_loses_half_its_speed_takes_twice_the_time_from_then_on():
    events = [{"at_s": 50, "site": "edge1", "capacity_factor": 0.5}]
    policy = Fixed({})
    run = weights(trio(0.3, events=events), policy)
    late = run.requests["arrival_s"] > 51
    taken = run.requests["answered_s"] - run.requests["arrival_s"]
    assert np.min(taken[late]) == pytest.approx(0.200)
    assert np.min(taken[~late]) == pytest.approx(0.100)
    assert policy.seen[90].sites["edge1"].service_ms == pytest.approx(200)


def test_half_done_work_is_not_lost_when_the_speed_changes():
    events = [{"at_s": 50, "site": "edge1", "capacity_factor": 0.5}]
    slow = scenario({"edge1": even_work(0.02)}, {"edge1": [{"from_s": 20, "rps": 1000}, {"from_s": 20.05, "rps": 0}]})
    run = weights(slow.model_copy(update={"events": trio(events=events).events}), Fixed({}))
    assert run.requests["answered_s"][0] == pytest.approx(run.requests["arrival_s"][0] + 30 + (50 - 30) * 2, abs=0.1)


@pytest.mark.parametrize(("metrics", "oldest_s"), [("stale", 10.0), ("missing", 10.0)])
def test_metrics_that_stop_are_shown_with_their_age(metrics, oldest_s):
    policy = Fixed({})
    steps = [{"from_s": 0, "rps": 2}, {"from_s": 45, "rps": 30}]
    events = [{"at_s": 40.5, "site": "edge1", "metrics": metrics}, {"at_s": 50.5, "site": "edge1", "metrics": "ok"}]
    where = scenario({"edge1": site(10)}, {"edge1": steps}, events=events)
    weights(where, policy)
    assert policy.seen[50].sites["edge1"].age_s == pytest.approx(oldest_s)
    assert policy.seen[50].sites["edge1"].demand_rps == policy.seen[40].sites["edge1"].demand_rps
    assert policy.seen[41].is_missing("edge1") == (metrics == "missing")
    assert policy.seen[51].sites["edge1"].age_s == 0


def test_lying_metrics_multiply_the_demand():
    policy = Fixed({})
    events = [{"at_s": 40.5, "site": "edge1", "metrics": "lying", "demand_factor": 10.0}]
    weights(scenario({"edge1": site(10)}, {"edge1": constant(5)}, events=events, control={"window_s": 20}), policy)
    assert policy.seen[60].sites["edge1"].demand_rps == pytest.approx(50, abs=20)


def test_a_stopped_controller_decides_nothing():
    policy = Fixed({})
    events = [{"at_s": 20.5, "controller": "stopped"}, {"at_s": 80.5, "controller": "ok"}]
    weights(scenario({"edge1": site(10)}, {"edge1": constant(5)}, events=events), policy)
    assert len(policy.seen) == 1 + 20 + 19


def test_a_wrong_capacity_is_what_the_policy_is_told():
    policy = Fixed({})
    weights(scenario({"edge1": site(10, told_capacity_rps=15.0)}, {"edge1": constant(5)}), policy)
    assert policy.seen[5].sites["edge1"].capacity_rps == 15
    assert policy.seen[5].sites["edge1"].service_ms == pytest.approx(100)


def test_a_fixed_trigger_replaces_that_of_the_policy():
    control = {"inflight_limit": {"edge1": 0}, "bucket_rps": {"edge1": 9.0}}
    policy = Fixed({}, inflight_limit={"edge1": 50}, bucket_rps={"edge1": 99.0}, peer_order=IN_ORDER)
    assert served_by(overflow(trio(2, control=control), policy))["edge1"] == 0


def test_small_changes_of_a_rate_are_not_written():
    def wobbles(snapshot, state, **_):
        tick = (state or 0) + 1
        rate = 10.0 * (1 + 0.02 * (tick % 2)) if tick < 50 else 12.0
        return Fixed({}, bucket_rps={"edge1": rate}, peer_order=IN_ORDER)(snapshot, None)[0], tick

    assert overflow(trio(5), wobbles).weight_writes == 1


def test_shed_demand_never_reaches_a_site():
    halving = Fixed({}, split={name: {name: 0.5} for name in IN_ORDER})
    run = weights(trio(20, duration_s=300), halving)
    assert np.mean(run.requests["status"] == SHED) == pytest.approx(0.5, abs=0.03)
    assert np.all(run.path[run.requests["status"] == SHED][:, 0, 1] == -1)


def test_users_leave_at_their_timeout_and_ask_again():
    slow = {"edge1": even_work(0.1)}
    closed = {"edge1": {"users": 1, "think_s": 0}}
    patient = simulate(scenario(slow, closed), "local", "weights")
    hasty = simulate(scenario(slow, closed, control={"timeout_s": 2}), "local", "weights")
    assert len(patient.requests) == 10
    assert len(hasty.requests) == 50


def test_refused_users_who_do_not_think_wait_before_they_ask_again():
    events = [{"at_s": 0, "site": "edge1", "capacity_factor": 0}]
    run = simulate(scenario({"edge1": site(10)}, {"edge1": {"users": 2}}, events=events), "local", "weights")
    assert len(run.requests) == 2 * 100
    assert np.all(run.requests["status"] == SHED)


def test_users_without_end_are_refused(monkeypatch):
    monkeypatch.setattr(engine, "MOST_REQUESTS", 5000)
    hasty = scenario({"edge1": site(1000)}, {"edge1": {"users": 50}}, control={"timeout_s": 0.001})
    with pytest.raises(SpilloverError, match="users must send at most 5000 requests"):
        simulate(hasty, "local", "weights")


def test_arrays_grow_with_the_crowd():
    crowded = {"edge1": site(1, discipline="ps")}
    run = simulate(scenario(crowded, {"edge1": {"users": 3000, "think_s": 1}}, duration_s=20), "local", "weights")
    assert np.all(np.isfinite(run.requests["answered_s"]))
    assert len(run.requests) > 2900


def test_the_dispatcher_sends_each_request_where_it_is_served_first():
    run = simulate(trio(1), "sed")
    first = run.requests[0]
    assert first["destination"] == 0
    assert first["answered_s"] - first["arrival_s"] == pytest.approx(0.1)
    mean_s = {
        name: np.mean(latencies_s(simulate(trio(20, kind=site, duration_s=500), name))) for name in ("sed", "local")
    }
    assert mean_s["sed"] < 0.15 < mean_s["local"]


def test_the_dispatcher_avoids_the_dead():
    run = simulate(dying(), "sed")
    assert not np.any(run.requests["status"] == SHED)
