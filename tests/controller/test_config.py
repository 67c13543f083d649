from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from controller_fakes import raw_config

from spillover.controller.config import load_config, parse_config
from spillover.controller.leadership import LeaseTimes
from spillover.controller.sources import DynatraceConfig, PrometheusConfig
from spillover.model import Link, SpilloverError

if TYPE_CHECKING:
    from pydantic import BaseModel


def change(raw: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    *parents, last = path.split("/")
    place: Any = raw
    for part in parents:
        place = place[int(part)] if isinstance(place, list) else place[part]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return raw


def test_file_of_the_contract_is_read(tmp_path: Path) -> None:
    path = tmp_path / "controller.yml"
    path.write_text(yaml.safe_dump(raw_config(tmp_path)))
    config = load_config(path)
    assert config.sites["edge1"].capacity_rpm == 600
    assert config.model_links()[0] == Link("edge1", "edge2", 10.0)
    assert config.model_settings().period_s == 1.0


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("policy", "best", "policy must be one of .*, got 'best'"),
        ("mode", "sideways", "mode must be 'weights' or 'overflow', got 'sideways'"),
        ("window_s", 0, r"window_s must be at least 0.1, got 0"),
        ("period_s", float("nan"), "period_s must be .*, got nan"),
        ("total", 0, "total must be at least 1, got 0"),
        ("typo", 1, "typo is not a known field, got 1"),
        ("sites", ..., "sites must be given, got none"),
        ("sites/edge1/capacity_rpm", -5, "sites.edge1.capacity_rpm must be above 0, got -5"),
        ("sites/edge1/capacity_rpm", "many", "sites.edge1.capacity_rpm must be a valid number, got 'many'"),
        ("sites/edge1/servers", 0, "sites.edge1.servers must be at least 1, got 0"),
        ("sites/edge1/kubeconfig", ..., "sites.edge1.kubeconfig must be given .*, got none"),
        ("sites/edge1/kubeconfig", "/nowhere/kubeconfig", "sites.edge1.kubeconfig must be a file, got '/nowhere"),
        ("sites/edge1/collector_url", "edge1:8444", "sites.edge1.collector_url must .*, got 'edge1:8444'"),
        ("sites/edge1/destinations/edge1", ..., "sites.edge1.destinations must name 'edge1' itself, got"),
        ("sites/edge1/destinations/edge2", ..., "sites.edge1.destinations must name the linked site 'edge2', got"),
        ("sites/edge1/destinations/mars", "x", "sites.edge1.destinations must name known sites, got 'mars'"),
        ("links/0/to", "mars", r"links.edge1->mars.to must name a known site, got 'mars'"),
        ("links/0/to", "edge1", "links must join each two different sites once, got 'edge1' to 'edge1'"),
        ("links/0/rtt_ms", -1, r"links.0.rtt_ms must be at least 0, got -1"),
        ("working_token_s", 599, "working_token_s must be at least 600, got 599"),
        ("working_token_s", 86_401, "working_token_s must be at most 86400, got 86401"),
    ],
)
def test_wrong_value_is_one_sentence_with_field_and_value(
    tmp_path: Path, path: str, value: object, sentence: str
) -> None:
    with pytest.raises(SpilloverError, match=sentence) as caught:
        parse_config(change(raw_config(tmp_path), path, value))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"name": ...}, "leadership.name must be given, got none"),
        ({"typo": 1}, "leadership.typo is not a known field, got 1"),
        ({"lease_duration_s": 0.5}, "leadership.lease_duration_s must be at least 1, got 0.5"),
        ({"renew_deadline_s": 6}, r"leadership: renew_deadline_s must be below lease_duration_s \(6\), got 6"),
        ({"retry_period_s": 3}, r"leadership: retry_period_s must be at most half of renew_deadline_s \(4\), got 3"),
        ({"kubeconfig": "/nowhere"}, "leadership: kubeconfig must be a file, got '/nowhere'"),
    ],
)
def test_wrong_leadership_is_one_sentence(tmp_path: Path, change: dict[str, Any], sentence: str) -> None:
    given = {"namespace": "spillover-system", "name": "controller"} | change
    block = {key: value for key, value in given.items() if value is not ...}
    with pytest.raises(SpilloverError, match=sentence):
        parse_config(raw_config(tmp_path, leadership=block))


def test_leadership_has_times_that_fit(tmp_path: Path) -> None:
    config = parse_config(raw_config(tmp_path, leadership={"namespace": "spillover-system", "name": "controller"}))
    assert config.leadership is not None
    assert config.leadership.times() == LeaseTimes(6.0, 4.0, 1.0)
    assert config.leadership.call_timeout_s == 1.0


def test_demand_is_averaged_for_longer_where_the_proxies_react(tmp_path: Path) -> None:
    silent = raw_config(tmp_path)
    silent.pop("window_s", None)
    assert parse_config(silent).window_s == 1.0
    assert parse_config(silent | {"mode": "overflow"}).window_s == 10.0
    assert parse_config(silent | {"mode": "overflow", "window_s": 2}).window_s == 2.0


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", r"controller\.yml: the content must be a mapping, got None"),
        ("[1, 2]", r"controller\.yml: the content must be a mapping, got \[1, 2\]"),
        ("a: [", r"controller\.yml is not YAML: "),
        ("\x00", r"controller\.yml is not YAML: "),
    ],
)
def test_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "controller.yml"
    path.write_text(text)
    with pytest.raises(SpilloverError, match=sentence):
        load_config(path)


def test_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpilloverError, match=r"absent\.yml cannot be read: No such file"):
        load_config(tmp_path / "absent.yml")


@pytest.mark.parametrize(
    ("window_s", "period_s", "interval_s"),
    [(1, 1, 1.0), (60, 60, 1.0), (0.5, 60, 0.5), (1, 2.5, 2.5 / 3), (5, 0.5, 0.5)],
)
def test_samples_are_taken_each_second_or_more_often(
    tmp_path: Path, window_s: float, period_s: float, interval_s: float
) -> None:
    config = parse_config(raw_config(tmp_path, window_s=window_s, period_s=period_s))
    assert config.interval_s == pytest.approx(interval_s)


@pytest.mark.parametrize("period_s", [0.1, 1, 60, 3600])
def test_deadlines_together_end_before_the_period(tmp_path: Path, period_s: float) -> None:
    config = parse_config(raw_config(tmp_path, window_s=60, period_s=period_s))
    assert config.read_deadline_s + config.write_deadline_s < period_s


PROMETHEUS = {"url": "http://prometheus.monitoring:9090", "preset": "envoy"}


def with_source(tmp_path: Path, **source: Any) -> dict[str, Any]:
    raw = raw_config(tmp_path)
    del raw["sites"]["edge1"]["collector_url"]
    raw["sites"]["edge1"] |= source
    return raw


def test_site_may_have_a_prometheus(tmp_path: Path) -> None:
    labels = {"namespace": "istio-system"}
    config = parse_config(with_source(tmp_path, prometheus=PROMETHEUS | {"labels": labels}))
    prometheus = config.sites["edge1"].prometheus
    assert prometheus is not None
    assert prometheus.selection.selector.endswith(',namespace="istio-system"}')
    assert (config.sites["edge1"].source, config.sites["edge2"].source) == ("prometheus", "collector")


def test_site_is_judged_by_the_interval_of_its_own_source(tmp_path: Path) -> None:
    config = parse_config(with_source(tmp_path, prometheus=PROMETHEUS))
    assert (config.site_interval_s("edge1"), config.site_window_s("edge1")) == (15.0, 15.0)
    assert (config.site_interval_s("edge2"), config.site_window_s("edge2")) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ({}, r"sites.edge1: one of collector_url, .* must be given, got none"),
        (
            {"prometheus": PROMETHEUS, "collector_url": "http://collector"},
            r"sites.edge1: one of collector_url, .* must be given, got collector_url and prometheus",
        ),
        ({"prometheus": {"preset": "envoy"}}, r"sites.edge1.prometheus.url must be given, got none"),
        (
            {"prometheus": PROMETHEUS | {"url": "prometheus:9090"}},
            r"sites.edge1.prometheus.url must .*'prometheus:9090'",
        ),
        (
            {"prometheus": PROMETHEUS | {"url": "http://me:word@prometheus"}},
            r"sites.edge1.prometheus.url must match pattern",
        ),
        (
            {"prometheus": PROMETHEUS | {"preset": "linkerd"}},
            r"sites.edge1.prometheus.preset must be 'envoy' or 'istio', got 'linkerd'",
        ),
        (
            {"prometheus": PROMETHEUS | {"query": "x"}},
            r"sites.edge1.prometheus: one of preset and query must be given, got 'envoy' and 'x'",
        ),
        (
            {"prometheus": {"url": "http://x", "query": "rate(x[1m])"}},
            r"sites.edge1.prometheus: query must select series of a counter, .*, got 'rate\(x\[1m\]\)'",
        ),
        (
            {"prometheus": {"url": "http://x", "query": "x", "labels": {"a": "b"}}},
            r"sites.edge1.prometheus: labels must be given with a preset only, got \{'a': 'b'\}",
        ),
        ({"prometheus": PROMETHEUS | {"labels": {"a-b": "c"}}}, r"sites.edge1.prometheus.labels.a-b.* must .*'a-b'"),
        ({"prometheus": PROMETHEUS | {"pod_label": "1"}}, r"sites.edge1.prometheus.pod_label must .*'1'"),
        (
            {"prometheus": PROMETHEUS | {"interval_s": 0}},
            r"sites.edge1.prometheus.interval_s must be at least 0.1, got 0",
        ),
        (
            {"prometheus": PROMETHEUS | {"token_file": "/nowhere"}},
            r"sites.edge1.prometheus: token_file must be a file, got '/nowhere'",
        ),
    ],
)
def test_wrong_source_is_one_sentence(tmp_path: Path, source: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SpilloverError, match=sentence):
        parse_config(with_source(tmp_path, **source))


def test_site_may_have_a_dynatrace_in_slots_of_a_minute(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.touch()
    dynatrace = {"url": "https://dynatrace.example/e/1", "token_file": str(token), "metric_selector": "calls"}
    config = parse_config(with_source(tmp_path, dynatrace=dynatrace))
    assert (config.sites["edge1"].source, config.site_window_s("edge1")) == ("dynatrace", 60.0)
    for field, value, sentence in (
        ("token_file", "/nowhere", "sites.edge1.dynatrace: token_file must be a file, got '/nowhere'"),
        ("metric_selector", "", "sites.edge1.dynatrace.metric_selector must have at least 1 character, got ''"),
        ("poll_s", 1, "sites.edge1.dynatrace.poll_s must be at least 5, got 1"),
        ("token", "canary", "sites.edge1.dynatrace.token is not a known field"),
    ):
        with pytest.raises(SpilloverError, match=sentence):
            parse_config(with_source(tmp_path, dynatrace=dynatrace | {field: value}))


DOCUMENT = Path(__file__).parents[2] / "docs" / "sources.md"


def documented_sites() -> list[dict[str, Any]]:
    blocks = re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    return [yaml.safe_load(block)["sites"] for block in blocks if block.startswith("sites:")]


def test_examples_of_the_documentation_are_taken(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.touch()
    sources = []
    for sites in documented_sites():
        for site in sites.values():
            if "dynatrace" in site:
                site["dynatrace"]["token_file"] = str(token)
        sources += [site.source for site in parse_config({"sites": sites}).sites.values()]
    assert sources == ["collector", "prometheus", "dynatrace"]


@pytest.mark.parametrize("model", [PrometheusConfig, DynatraceConfig])
def test_every_setting_of_a_source_is_documented_with_its_default(model: type[BaseModel]) -> None:
    kind = model.__name__.removesuffix("Config").lower()
    section = DOCUMENT.read_text().partition(f"## `{kind}`")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \|([^|]*)\|", section, re.MULTILINE))
    assert rows.keys() == model.model_fields.keys()
    for name, field in model.model_fields.items():
        given = rows[name].strip().strip("`")
        default = field.get_default(call_default_factory=True)
        assert (yaml.safe_load(given) if given else None) == (None if field.is_required() else default), name


def test_classes_are_the_policys_in_their_order(tmp_path: Path) -> None:
    gold = {"name": "gold", "match": {"header": {"name": "x-tier", "exact": "gold"}}}
    assert parse_config(raw_config(tmp_path, classes=[gold, {"name": "rest"}])).model_settings().classes == (
        "gold",
        "rest",
    )
    with pytest.raises(SpilloverError, match="every class but the last must have a match, got none for 'rest'"):
        parse_config(raw_config(tmp_path, classes=[{"name": "rest"}, gold]))
