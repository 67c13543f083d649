"""The reader against a real Prometheus, which scrapes what the test lets the pods show."""

from __future__ import annotations

import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fixtures.processes import end
from fixtures.prometheus import SCRAPE_INTERVAL_S, Gateways

from spillover.sources.demand import DemandWindow
from spillover.sources.fetch import SourceError, http_client
from spillover.sources.prometheus import PrometheusReader
from spillover.sources.promql import Selection, preset_selector

if TYPE_CHECKING:
    from collections.abc import Callable

    from fixtures.prometheus import Prometheus

    from spillover.sources.demand import CounterSample

DEADLINE_S = 5.0


def envoy(total: float) -> str:
    metric = "envoy_http_downstream_rq_total"
    return f"""# TYPE {metric} counter
{metric}{{http_conn_manager_prefix="outbound_0.0.0.0_8080"}} {total}
{metric}{{http_conn_manager_prefix="outbound_0.0.0.0_8443"}} {7 * total}
{metric}{{http_conn_manager_prefix="admin"}} 5
# TYPE envoy_cluster_upstream_rq_active gauge
envoy_cluster_upstream_rq_active{{cluster_name="outbound|80||app.apps.svc.cluster.local"}} 4
envoy_cluster_upstream_rq_active{{cluster_name="outbound|80||other.apps.svc.cluster.local"}} 9
# TYPE envoy_cluster_membership_healthy gauge
envoy_cluster_membership_healthy{{cluster_name="outbound|80||app.apps.svc.cluster.local"}} 3
"""


def istio(kept: float, spilled: float) -> str:
    gateway = 'source_workload="istio-ingressgateway",source_workload_namespace="istio-system"'
    return f"""# TYPE istio_requests_total counter
istio_requests_total{{reporter="source",{gateway},destination_service="app",response_code="200"}} {kept}
istio_requests_total{{reporter="source",{gateway},destination_service="peers",response_code="200"}} {spilled}
istio_requests_total{{reporter="destination",{gateway},destination_service="app",response_code="200"}} {kept}
istio_requests_total{{reporter="source",source_workload="app",source_workload_namespace="apps"}} 1000
"""


def reader(server: Prometheus, selection: Selection, deadline_s: float = DEADLINE_S) -> PrometheusReader:
    return PrometheusReader(http_client(deadline_s), server.url, selection, deadline_s=deadline_s)


def preset(gateways: Gateways, name: str = "envoy") -> PrometheusReader:
    return reader(gateways.server, Selection(preset_selector(name, {"job": gateways.job})))


def own(gateways: Gateways, metric: str, **queries: str) -> PrometheusReader:
    return reader(gateways.server, Selection(f'{metric}{{job="{gateways.job}"}}', **queries))


def until(read: Callable[[], CounterSample], fits: Callable[[CounterSample], bool]) -> CounterSample:
    """Read until a sample fits; what is missing meanwhile is read again."""
    ends = time.monotonic() + 30
    seen: object = None
    while time.monotonic() < ends:
        try:
            sample = read()
        except SourceError as error:
            seen = error
        else:
            if fits(sample):
                return sample
            seen = sample
        time.sleep(0.1)
    return pytest.fail(f"no sample fitted within 30 s, the last was {seen}")


def until_missing(read: Callable[[], CounterSample]) -> str:
    ends = time.monotonic() + 30
    while time.monotonic() < ends:
        try:
            read()
        except SourceError as error:
            return str(error)
        time.sleep(0.1)
    return pytest.fail("nothing was missing within 30 s")


def test_envoys_preset_counts_the_clients_listener_alone(gateways: Gateways) -> None:
    gateways.show(a=envoy(1000))
    read = preset(gateways)
    first = until(read, lambda _: True)
    assert (first.requests_total, first.gateways, first.in_flight, first.replicas) == (0.0, 1, None, None)
    gateways.show(a=envoy(1120))
    assert until(read, lambda sample: sample.requests_total > 0).requests_total == pytest.approx(120.0)


def test_istios_preset_counts_what_the_gateway_sent_anywhere(gateways: Gateways) -> None:
    gateways.show(a=istio(100, 50))
    read = preset(gateways, "istio")
    until(read, lambda _: True)
    gateways.show(a=istio(130, 70))
    assert until(read, lambda sample: sample.requests_total > 0).requests_total == pytest.approx(50.0)


def test_series_that_appears_later_counts_from_its_beginning(gateways: Gateways) -> None:
    gateways.show(a=istio(100, 50))
    read = preset(gateways, "istio")
    until(read, lambda _: True)
    failed = 'istio_requests_total{reporter="source",source_workload="istio-ingressgateway",'
    failed += 'source_workload_namespace="istio-system",response_code="503"} 8\n'
    gateways.show(a=istio(100, 50) + failed)
    assert until(read, lambda sample: sample.requests_total > 0).requests_total == pytest.approx(8.0)


def test_own_queries_are_asked_in_the_same_breath(gateways: Gateways) -> None:
    gateways.show(a='tickets{door="front"} 5\n' + envoy(1))
    here = f'job="{gateways.job}"'
    read = own(
        gateways,
        "tickets",
        in_flight_query=f'sum(envoy_cluster_upstream_rq_active{{cluster_name=~".*[|]app[.].*",{here}}}) # at home',
        replicas_query=f"max(envoy_cluster_membership_healthy{{{here}}})",
    )
    sample = until(read, lambda _: True)
    assert (sample.in_flight, sample.replicas) == (4.0, 3)
    gateways.show(a='tickets{door="front"} 11\n')
    sample = until(read, lambda sample: sample.requests_total > 0)
    assert (sample.requests_total, sample.in_flight, sample.replicas) == (pytest.approx(6.0), None, None)


def test_sample_is_as_old_as_its_own_time_says(gateways: Gateways) -> None:
    # Prometheus hands it out for five minutes as if it were of now.
    stamped_ms = int((time.time() - 100) * 1000)
    gateways.show(a=f"tickets 5 {stamped_ms}\n")
    assert until(own(gateways, "tickets"), lambda _: True).age_s == pytest.approx(100.0, abs=20.0)
    assert gateways.server.value(f'tickets{{job="{gateways.job}"}}') == 5


def test_fresh_sample_is_no_older_than_a_scrape(gateways: Gateways) -> None:
    gateways.show(a=envoy(1))
    fresh = until(preset(gateways), lambda sample: sample.age_s < 2 * SCRAPE_INTERVAL_S)
    assert fresh.sampled_at_s == pytest.approx(time.time(), abs=10.0)


def test_pod_that_began_again_gives_neither_spike_nor_negative_rate(gateways: Gateways) -> None:
    gateways.show(a=envoy(50_000), b=envoy(70_000))
    read = preset(gateways)
    window = DemandWindow(SCRAPE_INTERVAL_S, SCRAPE_INTERVAL_S)
    rates = []

    def observe(until_s: float) -> None:
        while time.monotonic() < until_s:
            time.sleep(0.1)
            with suppress(SourceError):
                window.add(read(), time.monotonic())
            rates.append(window.demand(time.monotonic()).demand_rps)

    until(read, lambda sample: sample.gateways == 2)
    observe(time.monotonic() + 3)
    gateways.show(a=envoy(10))
    observe(time.monotonic() + 3)
    gateways.show(a=envoy(40))
    observe(time.monotonic() + 3)
    known = [rate for rate in rates if rate is not None]
    assert min(known) == 0.0
    # 30 requests in one scrape interval, which a busy machine may shorten.
    assert 0.0 < max(known) < 300.0


def test_pod_that_cannot_be_scraped_is_missing_until_it_is_no_target(gateways: Gateways) -> None:
    gateways.show(a=envoy(1), b=envoy(2))
    read = preset(gateways)
    until(read, lambda sample: sample.gateways == 2)
    gateways.hide("b")
    pod = f"{gateways.job}/b"
    assert f"must be of every target, got none of {pod}, which was not scraped" in until_missing(read)
    gateways.server.set_targets(but=pod)
    assert until(read, lambda _: True).gateways == 1


def test_gateway_that_two_jobs_scrape_is_not_counted_twice(prometheus: Prometheus) -> None:
    prometheus.exporter.texts["twice/a"] = envoy(1)
    until(preset(Gateways(prometheus, "twice")), lambda _: True)
    until(preset(Gateways(prometheus, "again")), lambda _: True)
    both = Selection('envoy_http_downstream_rq_total{http_conn_manager_prefix="admin",job=~"twice|again"}')
    assert "must be scraped once for each instance, got series of twice/a that lie" in until_missing(
        reader(prometheus, both)
    )


def test_label_is_no_way_into_the_query(gateways: Gateways) -> None:
    gateways.show(a=envoy(1))
    until(preset(gateways), lambda _: True)
    labels = {"pod": 'x"} or label_replace(up, "spillover", "requests", "", "") # {', "job": "back\\slash\n"}
    with pytest.raises(SourceError, match="must match a series, got none"):
        reader(gateways.server, Selection(preset_selector("envoy", labels)))()


def test_query_that_fails_is_told_in_the_servers_words(gateways: Gateways) -> None:
    with pytest.raises(SourceError, match=r"answered with status 400: .*unexpected"):
        own(gateways, "up", in_flight_query="sum(up))")()


def test_silent_server_costs_the_deadline_and_a_dead_one_nothing(own_prometheus: Prometheus) -> None:
    gateways = own_prometheus.new_site()
    gateways.show(a=envoy(1))
    read = reader(own_prometheus, Selection(f'up{{job="{gateways.job}"}}'), deadline_s=0.5)
    until(read, lambda _: True)
    own_prometheus.process.send_signal(signal.SIGSTOP)
    try:
        wait_until_stopped(own_prometheus.process.pid)
        began_s = time.monotonic()
        with pytest.raises(SourceError, match=r"did not answer within 0\.5 s"):
            read()
        assert time.monotonic() - began_s < 3.0
    finally:
        own_prometheus.process.send_signal(signal.SIGCONT)
    until(read, lambda _: True)
    end([own_prometheus.process])
    with pytest.raises(SourceError, match="cannot be read: "):
        read()


def wait_until_stopped(pid: int) -> None:
    """A busy machine stops one thread after another, and the last may still answer."""
    ends = time.monotonic() + 30
    while {stat.read_text().rpartition(")")[2].split()[0] for stat in Path(f"/proc/{pid}/task").glob("*/stat")} != {
        "T"
    }:
        assert time.monotonic() < ends
        time.sleep(0.02)
