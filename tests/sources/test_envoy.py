from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillover.model import SpilloverError
from spillover.sources.envoy import (
    GUESTS,
    MOST_FLOWS,
    parse_by_class,
    parse_flows,
    parse_in_flight,
    parse_replicas,
    parse_requests_total,
)
from spillover.sources.fetch import SourceError

SERIES = 'envoy_http_downstream_rq_total{http_conn_manager_prefix="outbound_0.0.0.0_8080"}'
TEXT = f"""# TYPE envoy_http_downstream_rq_total counter
envoy_http_downstream_rq_total{{http_conn_manager_prefix="agent"}} 70

envoy_http_downstream_rq_total{{http_conn_manager_prefix="outbound_0.0.0.0_8443"}} 9000
{SERIES} 1234

# TYPE envoy_http_downstream_rq_xx counter
envoy_http_downstream_rq_xx{{envoy_response_code_class="2",http_conn_manager_prefix="outbound_0.0.0.0_8080"}} 5000
# TYPE envoy_cluster_upstream_rq_total counter
envoy_cluster_upstream_rq_total{{cluster_name="outbound|443||app.peers.internal"}} 77
"""


def test_only_the_client_listener_is_counted() -> None:
    assert parse_requests_total(TEXT) == 1234


def test_another_listener_can_be_named() -> None:
    assert parse_requests_total(TEXT, "outbound_0.0.0.0_8443") == 9000


def test_series_with_further_labels_are_summed() -> None:
    text = (
        'envoy_http_downstream_rq_total{http_conn_manager_prefix="outbound_0.0.0.0_8080",pod="a"} 3\n'
        'envoy_http_downstream_rq_total{pod="b",http_conn_manager_prefix="outbound_0.0.0.0_8080"} 4\n'
    )
    assert parse_requests_total(text) == 7


def test_zero_is_a_count() -> None:
    assert parse_requests_total(f"{SERIES} 0\n") == 0


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf", "-1", "1.5", "1e300"])
def test_value_that_no_counter_has_is_named(value: str) -> None:
    with pytest.raises(SourceError, match="must be a whole number of 0 or more, got"):
        parse_requests_total(f"{SERIES} {value}\n")


@pytest.mark.parametrize("text", ["", "garbage", "<html>502</html>", TEXT.replace("8080", "80")])
def test_text_without_the_series_is_missing_not_zero(text: str) -> None:
    with pytest.raises(SourceError, match="is not among the statistics"):
        parse_requests_total(text)


@pytest.mark.parametrize("end", [" abc\n", "\n", '{http_conn_manager_prefix="out'])
def test_broken_line_is_missing(end: str) -> None:
    with pytest.raises(SourceError):
        parse_requests_total(f"{SERIES}{end}")


@given(st.text())
def test_any_text_gives_a_count_or_a_clear_error(text: str) -> None:
    for body in (text, f"envoy_http_downstream_rq_total{text}"):
        with suppress(SpilloverError):
            assert parse_requests_total(body) >= 0


ACTIVE = """envoy_cluster_upstream_rq_active{cluster_name="outbound|80||app.apps.svc.cluster.local"} 3
envoy_cluster_upstream_rq_active{cluster_name="outbound|81||app-last.apps.svc.cluster.local;"} 2
envoy_cluster_upstream_rq_active{cluster_name="outbound|443||app.peers.internal"} 90
"""
SERVICES = ("app.apps.svc.cluster.local", "app-last.apps.svc.cluster.local")


def test_only_requests_at_the_sites_own_application_are_in_flight() -> None:
    assert parse_in_flight(ACTIVE, SERVICES) == 5


def test_a_gateway_without_the_statistic_does_not_say() -> None:
    assert parse_in_flight(TEXT, SERVICES) is None


@pytest.mark.parametrize("value", ["NaN", "-1", "0.5"])
def test_number_in_flight_that_cannot_be_is_named(value: str) -> None:
    series = 'envoy_cluster_upstream_rq_active{cluster_name="outbound|80||app.apps.svc.cluster.local"}'
    with pytest.raises(SourceError, match=r"app\.apps.* must be a whole number of 0 or more, got"):
        parse_in_flight(f"{series} {value}\n", SERVICES)


REPLICAS = """envoy_cluster_membership_healthy{cluster_name="outbound|80||app.apps.svc.cluster.local"} 3
envoy_cluster_membership_healthy{cluster_name="outbound|81||app-last.apps.svc.cluster.local;"} 2
envoy_cluster_membership_healthy{cluster_name="outbound|443||app.peers.internal"} 9
"""


def test_replicas_are_those_of_the_sites_own_application_and_counted_once() -> None:
    assert parse_replicas(REPLICAS, SERVICES) == 3
    assert parse_replicas(TEXT, SERVICES) is None


def test_an_application_without_a_replica_has_none() -> None:
    series = 'envoy_cluster_membership_healthy{cluster_name="outbound|80||app.apps.svc.cluster.local"}'
    assert parse_replicas(f"{series} 0\n", SERVICES) == 0
    with pytest.raises(SourceError, match="must be a whole number of 0 or more, got -1"):
        parse_replicas(f"{series} -1\n", SERVICES)


def class_series(name: str, value: int, port: int = 8080) -> str:
    labels = f'authz_dry_run_result="allowed",http_conn_manager_prefix="outbound_0.0.0.0_{port}"'
    return f"envoy_http_rbac_policy_{name}{{{labels}}} {value}\n"


CLASSES = "".join(
    [
        'envoy_http_rbac_allowed{http_conn_manager_prefix="outbound_0.0.0.0_8080"} 900\n',
        class_series("class_00_gold", 30),
        class_series("class_01_paid_api", 12),
        class_series("class_01_paid_api", 7, port=8443),
        class_series("somebody_elses", 3),
    ]
)


def test_classes_are_those_of_the_client_listener_under_their_own_names() -> None:
    assert parse_by_class(TEXT + CLASSES) == {"gold": 30, "paid-api": 12}
    assert parse_by_class(TEXT) == {}


def test_number_of_a_class_that_cannot_be_is_named() -> None:
    with pytest.raises(SourceError, match=r"class_00_gold.* must be a whole number of 0 or more, got -30"):
        parse_by_class(CLASSES.replace(" 30", " -30"))


FLOWS = """envoy_cluster_upstream_rq_total{cluster_name="outbound|80||app.apps.svc.cluster.local"} 900
envoy_cluster_upstream_rq_total{cluster_name="outbound|443||cloud.peers.internal;"} 77
envoy_cluster_upstream_rq_total{cluster_name="outbound|443|blue|cloud.peers.internal"} 5
envoy_cluster_upstream_rq_total{cluster_name="outbound|444||cloud.peers.internal"} 3
envoy_cluster_upstream_rq_total{cluster_name="xds-grpc"} 4
envoy_cluster_upstream_rq_retry{cluster_name="outbound|443||cloud.peers.internal;"} 7
envoy_cluster_upstream_rq_retry_success{cluster_name="outbound|443||cloud.peers.internal;"} 1
envoy_http_downstream_rq_total{http_conn_manager_prefix="outbound_0.0.0.0_8443"} 40
"""


def test_requests_are_counted_by_destination_without_their_retries_and_guests_apart() -> None:
    assert parse_flows(FLOWS) == {
        "app.apps.svc.cluster.local": 900,
        "cloud.peers.internal": 73,
        "cloud.peers.internal/blue": 5,
        GUESTS: 40,
    }


def test_more_retries_than_attempts_are_none_that_went_there() -> None:
    assert parse_flows(FLOWS.replace("} 77", "} 2"))["cloud.peers.internal"] == 0


def test_a_gateway_that_keeps_no_such_statistic_or_too_many_has_no_flows() -> None:
    assert parse_flows(SERIES + " 5\n") == {}
    one = 'envoy_cluster_upstream_rq_total{{cluster_name="outbound|80||{}.example"}} 1\n'
    assert len(parse_flows("".join(one.format(number) for number in range(MOST_FLOWS)))) == MOST_FLOWS + 1
    assert parse_flows("".join(one.format(number) for number in range(MOST_FLOWS + 1))) == {}


def test_a_count_by_destination_that_cannot_be_is_named() -> None:
    with pytest.raises(SourceError, match=r"of cloud\.peers\.internal must be a whole number of 0 or more, got nan"):
        parse_flows(FLOWS.replace("} 77", "} NaN"))
