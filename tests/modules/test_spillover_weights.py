from __future__ import annotations

import copy
import importlib.util
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args
from fixtures.apiserver import ApiServer, write_kubeconfig
from fixtures.processes import free_port

from spillover.clusters import Cluster
from spillover.reconciliation import ATTEMPTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType

ROOT = Path(__file__).parents[2]
MODULES = ROOT / "plugins" / "modules"

# Figure 2 of the paper as printed, and the DestinationRule that its subsets need.
FIGURE_2 = """
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata:
  name: svc1
spec:
  hosts:
    - svc1
  http:
    - route:
        - destination:
            host: svc1
            subset: v2
          weight: 25
        - destination:
            host: svc1
            subset: v1
          weight: 75
"""
FIGURE_2_SUBSETS = """
apiVersion: networking.istio.io/v1alpha3
kind: DestinationRule
metadata:
  name: svc1
spec:
  host: svc1
  subsets:
    - {name: v1, labels: {version: v1}}
    - {name: v2, labels: {version: v2}}
"""
WANTED = {"svc1/v2": 25, "svc1/v1": 75}


def figure_2(namespace: str, v2: int | None = 25, v1: int | None = 75, version: str = "v1") -> dict[str, Any]:
    service = yaml.safe_load(FIGURE_2)
    service["apiVersion"] = f"networking.istio.io/{version}"
    service["metadata"]["namespace"] = namespace
    for entry, weight in zip(service["spec"]["http"][0]["route"], (v2, v1), strict=True):
        del entry["weight"]
        if weight is not None:
            entry["weight"] = weight
    return dict(service)


def load_module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("spillover_weights", MODULES / "spillover_weights.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run_module(capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Run the module in this process, as Ansible would in another."""

    def run(
        *, check: bool = False, diff: bool = False, module: ModuleType | None = None, **params: Any
    ) -> dict[str, Any]:
        arguments = params | {"_ansible_check_mode": check, "_ansible_diff": diff}
        with patch_module_args(arguments), pytest.raises(SystemExit) as ended:
            (module or load_module()).main()
        result = dict(json.loads(capsys.readouterr().out))
        assert bool(result.get("failed")) == bool(ended.value.code)
        return result

    return run


@pytest.fixture
def reconcile(
    run_module: Callable[..., dict[str, Any]], apiserver: ApiServer, namespace: str, tmp_path: Path
) -> Callable[..., dict[str, Any]]:
    """Run the module against the real API server, for VirtualService svc1 of this test's namespace."""
    kubeconfig = apiserver.kubeconfig(tmp_path / "kubeconfig")

    def run(**params: Any) -> dict[str, Any]:
        return run_module(**({"kubeconfig": str(kubeconfig), "namespace": namespace, "name": "svc1"} | params))

    return run


def weights(service: Mapping[str, Any]) -> list[int | None]:
    return [entry.get("weight") for entry in service["spec"]["http"][0]["route"]]


def without_weights(service: Mapping[str, Any]) -> dict[str, Any]:
    """All of the object but what a write of weights must change."""
    rest = copy.deepcopy(dict(service))
    for key in ("resourceVersion", "generation", "managedFields"):
        rest["metadata"].pop(key, None)
    for entry in rest["spec"]["http"][0]["route"]:
        entry.pop("weight", None)
    return rest


CASES = {
    "create": ((None, None), {"svc1/v2": 25, "svc1/v1": 75}, [25, 75]),
    "modify": ((50, 50), {"svc1/v2": 25, "svc1/v1": 75}, [25, 75]),
    "delete": ((25, 75), {"svc1/v2": 0, "svc1/v1": 100}, [0, 100]),
}


@pytest.mark.parametrize("mode", ["check", "real"])
@pytest.mark.parametrize("time", ["once", "again"])
@pytest.mark.parametrize("case", CASES)
def test_the_twelve_cases(
    reconcile: Callable[..., dict[str, Any]], apiserver: ApiServer, namespace: str, case: str, time: str, mode: str
) -> None:
    (v2, v1), wanted, expected = CASES[case]
    created = apiserver.create(figure_2(namespace, v2, v1))
    if time == "again":
        reconcile(weights=wanted)
    before = apiserver.read(created)

    result = reconcile(weights=wanted, check=mode == "check")

    after = apiserver.read(created)
    assert result["changed"] == (time == "once")
    assert result["weights"] == wanted
    if mode == "check" or time == "again":
        assert after == before
    else:
        assert weights(after) == expected
        assert without_weights(after) == without_weights(created)


@pytest.mark.parametrize("version", ["v1alpha3", "v1"])
def test_figure_2_is_reached_by_weights_and_then_left_alone(
    reconcile: Callable[..., dict[str, Any]], apiserver: ApiServer, namespace: str, version: str
) -> None:
    rule = yaml.safe_load(FIGURE_2_SUBSETS)
    rule["metadata"]["namespace"] = namespace
    rule["apiVersion"] = f"networking.istio.io/{version}"
    subsets = apiserver.create(rule)
    service = apiserver.create(figure_2(namespace, 0, 100, version))
    params = {"api_version": f"networking.istio.io/{version}", "weights": WANTED}
    assert reconcile(**params)["changed"]
    assert apiserver.read(service)["spec"] == yaml.safe_load(FIGURE_2)["spec"]
    assert not reconcile(**params)["changed"]
    assert apiserver.read(subsets) == subsets


@pytest.mark.parametrize("version", ["v1alpha3", "v1"])
def test_figure_2_is_reached_by_the_rule(
    reconcile: Callable[..., dict[str, Any]], apiserver: ApiServer, namespace: str, version: str
) -> None:
    service = apiserver.create(figure_2(namespace, 0, 100, version))
    result = reconcile(
        api_version=f"networking.istio.io/{version}", rpm=800, rpm_max=600, home="svc1/v1", peers={"svc1/v2": 600}
    )
    assert result["weights"] == WANTED
    assert result["weights_before"] == {"svc1/v2": 0, "svc1/v1": 100}
    assert result["reason"]
    assert apiserver.read(service)["spec"] == yaml.safe_load(FIGURE_2)["spec"]


@pytest.mark.parametrize(
    ("rpm", "total", "home"),
    [
        (0, 100, 100),
        (599.9, 100, 100),
        (600, 100, 100),
        (600, 10_000, 10_000),
        (601, 10_000, 9983),
        (606.1, 100, 99),
        (1200, 100, 50),
        (60_000, 100, 1),
    ],
)
def test_the_rule_keeps_all_up_to_and_at_rpm_max(
    reconcile: Callable[..., dict[str, Any]], apiserver: ApiServer, namespace: str, rpm: float, total: int, home: int
) -> None:
    apiserver.create(figure_2(namespace))
    result = reconcile(rpm=rpm, rpm_max=600, home="svc1/v1", peers={"svc1/v2": 600}, total=total, check=True)
    assert result["weights"] == {"svc1/v2": total - home, "svc1/v1": home}


def test_the_rule_divides_the_excess_by_the_peers_capacities(
    reconcile: Callable[..., dict[str, Any]], apiserver: ApiServer, namespace: str
) -> None:
    service = figure_2(namespace)
    service["spec"]["http"][0]["route"].append({"destination": {"host": "cloud"}})
    apiserver.create(service)
    result = reconcile(rpm=1200, rpm_max=600, home="svc1/v1", peers={"svc1/v2": 720, "cloud": "1440"})
    assert result["weights"] == {"svc1/v2": 17, "svc1/v1": 50, "cloud": 33}


def test_strings_from_templates_count_as_numbers(
    reconcile: Callable[..., dict[str, Any]], apiserver: ApiServer, namespace: str
) -> None:
    apiserver.create(figure_2(namespace, 50, 50))
    assert reconcile(weights={"svc1/v2": "25", "svc1/v1": " 75"})["weights"] == WANTED


def test_everything_else_in_a_rich_object_stays(
    reconcile: Callable[..., dict[str, Any]], apiserver: ApiServer, namespace: str
) -> None:
    service = figure_2(namespace, 50, 50)
    service["metadata"] |= {
        "labels": {"team": "a"},
        "annotations": {"note": "ours"},
        "finalizers": ["example.com/hold"],
    }
    service["spec"] |= {"gateways": ["mesh"], "tcp": [{"route": [{"destination": {"host": "db"}, "weight": 100}]}]}
    clients = service["spec"]["http"][0]
    clients |= {"name": "clients", "timeout": "5s", "retries": {"attempts": 2}, "mirror": {"host": "shadow"}}
    clients["route"][0]["headers"] = {"request": {"set": {"x-kept": "1"}}}
    service["spec"]["http"].append({"name": "guests", "route": [{"destination": {"host": "svc1"}, "weight": 100}]})
    created = apiserver.create(service)
    assert reconcile(weights=WANTED, route="clients")["changed"]
    after = apiserver.read(created)
    assert weights(after) == [25, 75]
    assert without_weights(after) == without_weights(created)


def test_the_difference_shows_the_object_and_differs_in_weights_only(
    reconcile: Callable[..., dict[str, Any]], apiserver: ApiServer, namespace: str
) -> None:
    apiserver.create(figure_2(namespace, 50, 50))
    diff = reconcile(weights=WANTED, check=True, diff=True)["diff"]
    assert weights(diff["before"]) == [50, 50]
    assert weights(diff["after"]) == [25, 75]
    assert without_weights(diff["before"]) == without_weights(diff["after"])
    assert diff["before"]["metadata"] == {"name": "svc1", "namespace": namespace}


def test_no_difference_is_shown_when_nothing_differs(
    reconcile: Callable[..., dict[str, Any]], apiserver: ApiServer, namespace: str
) -> None:
    apiserver.create(figure_2(namespace))
    diff = reconcile(weights=WANTED, diff=True)["diff"]
    assert diff["before"] == diff["after"]


RULE = {"rpm": 800, "rpm_max": 600, "home": "svc1/v1", "peers": {"svc1/v2": 600}}
BAD_ARGUMENTS = [
    ({"weights": {"svc1/v2": 30, "svc1/v1": 75}}, "must sum to 100, got 105: svc1/v2=30, svc1/v1=75"),
    ({"weights": WANTED, "total": 1000}, "must sum to 1000, got 100"),
    ({"weights": {"svc1/v3": 100}}, "unknown destination 'svc1/v3'"),
    ({"weights": {"svc1/v2": -25, "svc1/v1": 125}}, "'svc1/v2' must be a whole number of 0 or more, got -25"),
    ({"weights": {"svc1/v2": 2.5, "svc1/v1": 97.5}}, "weights.svc1/v2 must be a whole number of 0 or more, got 2.5"),
    ({"weights": {"svc1/v2": True}}, "weights.svc1/v2 must be a whole number of 0 or more, got True"),
    ({"weights": WANTED, "route": "absent"}, "no HTTP route named 'absent'"),
    ({"weights": WANTED, "name": "absent"}, "/absent (networking.istio.io/v1) does not exist at https://127.0.0.1"),
    ({"weights": WANTED, "api_version": "networking.istio.io/v9"}, "does not serve this kind"),
    ({"weights": WANTED, "kubeconfig": "/nonexistent"}, "kubeconfig /nonexistent is not a file"),
    ({"weights": WANTED, "context": "edge9"}, "edge9"),
    ({"weights": WANTED, "timeout_s": 0}, "timeout_s must be above 0, got 0"),
    (RULE | {"rpm": -5}, "rpm must be a number 0 or more, got -5"),
    (RULE | {"rpm": "nan"}, "rpm must be a number 0 or more, got nan"),
    (RULE | {"rpm_max": 0}, "rpm_max must be a number above 0, got 0"),
    (RULE | {"peers": {"svc1/v2": 0}}, "peers.svc1/v2 must be a number above 0, got 0"),
    (RULE | {"peers": {"svc1/v2": "many"}}, "peers.svc1/v2 must be a number above 0, got 'many'"),
    (RULE | {"peers": {}}, "peers must name at least one destination, got none"),
    (RULE | {"peers": {"svc1/v1": 600}}, "peers must not name home, got 'svc1/v1'"),
    (RULE | {"home": "svc1/v9"}, "unknown destination 'svc1/v9'"),
    (RULE | {"total": 0}, "total"),
    (RULE | {"weights": WANTED}, "mutually exclusive"),
    ({"rpm": 800, "rpm_max": 600}, "required together"),
    ({}, "one of the following is required: weights, rpm"),
]


@pytest.mark.parametrize(("params", "message"), BAD_ARGUMENTS)
def test_a_bad_argument_is_one_clear_sentence_and_changes_nothing(
    reconcile: Callable[..., dict[str, Any]],
    apiserver: ApiServer,
    namespace: str,
    params: dict[str, Any],
    message: str,
) -> None:
    created = apiserver.create(figure_2(namespace, 50, 50))
    result = reconcile(**params)
    assert result["failed"]
    assert message in result["msg"]
    assert "\n" not in result["msg"]
    assert apiserver.read(created) == created


def test_an_unreachable_server_is_named(run_module: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    server = f"https://127.0.0.1:{free_port()}"
    kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", server=server, token="none")  # noqa: S106
    result = run_module(kubeconfig=str(kubeconfig), namespace="default", name="svc1", weights=WANTED)
    assert result["msg"] == f"the API server at {server} cannot be reached: Connection refused"


def test_a_hung_server_ends_at_the_deadline(run_module: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = f"http://127.0.0.1:{listener.getsockname()[1]}"
        kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", server=server, token="none")  # noqa: S106
        result = run_module(kubeconfig=str(kubeconfig), namespace="default", name="svc1", weights=WANTED, timeout_s=0.3)
    assert result["msg"] == f"the API server at {server} did not answer within 0.3 s"


@pytest.fixture
def meddle(monkeypatch: pytest.MonkeyPatch, apiserver: ApiServer) -> Callable[[int], list[dict[str, Any]]]:
    """Let someone else change the object after each of the first so many reads."""
    read = Cluster.get_virtual_service

    def install(times: int) -> list[dict[str, Any]]:
        reads: list[dict[str, Any]] = []

        def read_then_meddle(self: Cluster, *args: Any) -> dict[str, Any]:
            service = read(self, *args)
            reads.append(service)
            if len(reads) <= times:
                apiserver.merge(service, {"metadata": {"labels": {"meddled": str(len(reads))}}})
            return service

        monkeypatch.setattr(Cluster, "get_virtual_service", read_then_meddle)
        return reads

    return install


def test_a_conflict_is_read_again_and_the_other_change_survives(
    reconcile: Callable[..., dict[str, Any]],
    apiserver: ApiServer,
    namespace: str,
    meddle: Callable[[int], list[dict[str, Any]]],
) -> None:
    created = apiserver.create(figure_2(namespace, 50, 50))
    reads = meddle(ATTEMPTS - 1)
    assert reconcile(weights=WANTED)["changed"]
    after = apiserver.read(created)
    assert len(reads) == ATTEMPTS
    assert weights(after) == [25, 75]
    assert after["metadata"]["labels"] == {"meddled": str(ATTEMPTS - 1)}


def test_an_endless_conflict_is_given_up(
    reconcile: Callable[..., dict[str, Any]],
    apiserver: ApiServer,
    namespace: str,
    meddle: Callable[[int], list[dict[str, Any]]],
) -> None:
    created = apiserver.create(figure_2(namespace, 50, 50))
    reads = meddle(1000)
    result = reconcile(weights=WANTED)
    assert "was changed by someone else after it was read" in result["msg"]
    assert len(reads) == ATTEMPTS
    assert weights(apiserver.read(created)) == [50, 50]


@pytest.mark.parametrize("library", ["spillover", "kubernetes"])
def test_a_missing_library_is_named(
    run_module: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    for name in ("spillover.clusters", "spillover.reconciliation"):
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)  # type: ignore[arg-type]
    result = run_module(namespace="default", name="svc1", weights=WANTED)
    assert f"Failed to import the required Python library ({library})" in result["msg"]


PLAYBOOK = """
- hosts: localhost
  connection: local
  gather_facts: false
  module_defaults:
    spillover_weights:
      kubeconfig: "{{ kubeconfig }}"
      namespace: "{{ namespace }}"
      name: svc1
      weights: "{{ weights }}"
  tasks:
    - {register: predict, check_mode: true, diff: true, spillover_weights: {}}
    - {register: change, spillover_weights: {}}
    - {register: again, spillover_weights: {}}
    - ansible.builtin.copy:
        content: "{{ {'predict': predict, 'change': change, 'again': again} | to_json }}"
        dest: "{{ results }}"
"""


def ansible(command: str, *arguments: str) -> str:
    """Run one of Ansible's own programs from the repository, where ansible.cfg lies."""
    program = Path(sys.executable).with_name(command)
    env = {**os.environ, "ANSIBLE_NOCOLOR": "1"}
    ended = subprocess.run(
        [str(program), *arguments], cwd=ROOT, env=env, capture_output=True, text=True, timeout=100, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_a_real_playbook_predicts_changes_and_then_changes_nothing(
    apiserver: ApiServer, namespace: str, tmp_path: Path
) -> None:
    created = apiserver.create(figure_2(namespace, 50, 50))
    playbook = tmp_path / "playbook.yml"
    playbook.write_text(PLAYBOOK)
    written = tmp_path / "results.json"
    variables = {
        "ansible_python_interpreter": sys.executable,
        "kubeconfig": str(apiserver.kubeconfig(tmp_path / "kubeconfig")),
        "namespace": namespace,
        "results": str(written),
        "weights": WANTED,
    }
    output = ansible("ansible-playbook", "-i", "localhost,", "-e", json.dumps(variables), str(playbook))
    results = json.loads(written.read_text())
    assert [results[name]["changed"] for name in ("predict", "change", "again")] == [True, True, False]
    assert re.search(r'-\s+"weight": 50$.*^\+\s+"weight": 25$', output, re.MULTILINE | re.DOTALL)
    assert weights(apiserver.read(created)) == [25, 75]


@pytest.fixture(scope="module")
def documentation() -> dict[str, Any]:
    output = ansible("ansible-doc", "--json", "-t", "module", "-M", str(MODULES), "spillover_weights")
    return dict(json.loads(output)["spillover_weights"])


def test_the_documented_options_are_the_options(documentation: dict[str, Any]) -> None:
    def comparable(options: dict[str, Any]) -> dict[str, Any]:
        return {
            name: (option.get("type", "str"), option.get("default"), option.get("required", False))
            for name, option in options.items()
        }

    assert comparable(documentation["doc"]["options"]) == comparable(load_module().argument_spec())


def test_the_documented_results_are_the_results(
    documentation: dict[str, Any], reconcile: Callable[..., dict[str, Any]], apiserver: ApiServer, namespace: str
) -> None:
    apiserver.create(figure_2(namespace))
    result = reconcile(**RULE)
    assert set(documentation["return"]) == set(result) - {"changed", "diff", "invocation"}


def test_the_examples_use_documented_options_only(documentation: dict[str, Any]) -> None:
    for task in yaml.safe_load(documentation["examples"]):
        assert set(task["spillover_weights"]) <= set(documentation["doc"]["options"])
