from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillover.model import SpilloverError
from spillover.sources.promql import Selection, check_selector, demand_query, preset_selector, quoted


def test_presets_count_what_enters_at_the_gateway() -> None:
    assert (
        preset_selector("envoy", {"namespace": "istio-system"})
        == 'envoy_http_downstream_rq_total{http_conn_manager_prefix="outbound_0.0.0.0_8080",namespace="istio-system"}'
    )
    assert preset_selector("istio", {"source_workload": "edge-gateway"}) == (
        'istio_requests_total{reporter="source",source_workload="edge-gateway",source_workload_namespace="istio-system"}'
    )


@pytest.mark.parametrize(
    ("value", "written"),
    [('a"} or vector(1', r'"a\"} or vector(1"'), ("back\\slash", r'"back\\slash"'), ("two\nlines", r'"two\nlines"')],
)
def test_values_of_labels_stay_values(value: str, written: str) -> None:
    assert quoted(value) == written
    check_selector(preset_selector("envoy", {"pod": value}))


@given(st.text())
def test_any_value_of_a_label_leaves_a_selector(value: str) -> None:
    check_selector(preset_selector("istio", {"cluster": value}))


@pytest.mark.parametrize(
    "query",
    ["requests_total", 'requests_total{a="b", c=~"d|e",}', '{__name__="x"}', "x:y:z{}", "x{a='b'}", ' x {a!="\\""} '],
)
def test_selector_is_taken(query: str) -> None:
    check_selector(query)


@pytest.mark.parametrize(
    "query",
    ["", "sum(x)", "rate(x[1m])", "x[1m]", "x offset 5m", "x + y", "x{a=b}", 'x{a="b"', "1", "x # {}", 'x{a="b"c="d"}'],
)
def test_expression_is_refused(query: str) -> None:
    with pytest.raises(
        SpilloverError, match=r"query must select series of a counter, as name\{label=\"value\"\}, got '"
    ):
        check_selector(query)


def test_one_query_asks_for_everything() -> None:
    query = demand_query(Selection("x", "pod", "sum(active) # now", "count(up)"), ["10.0.0.1:15090", "b"])
    kinds = ["requests", "oldest", "newest", "up", "in_flight", "replicas"]
    assert [kind for kind in kinds if f'"spillover", "{kind}"' in query] == kinds
    assert r'up{pod=~"10\\.0\\.0\\.1:15090|b"}' in query
    assert "# now\n)" in query
    assert "up{" not in demand_query(Selection("x"))
