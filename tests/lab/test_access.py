"""What our accounts may do at a site: what they need, and nothing else, whoever holds their tokens."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from lab_helpers import KUBECONFIG, KUBECTL, ROOT, SITES, bucket_of, kubectl, playbook, run

if TYPE_CHECKING:
    import subprocess

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

ACCOUNT = "system:serviceaccount:spillover-system:"
NAMESPACES = ("apps", "istio-system", "spillover-system", "default", "kube-system")
FILTERS = "envoyfilters.networking.istio.io"
Right = tuple[str, str, str, str]


def rights(site: str, account: str) -> set[Right]:
    """Return what an account may do beyond what everybody may: namespace, resource, name and verb."""
    found = set()
    for namespace in NAMESPACES:
        text = kubectl(site, "auth", "can-i", "--list", f"--as={ACCOUNT}{account}", f"--namespace={namespace}")
        for line in text.splitlines()[1:]:
            before, _, verbs = line.rstrip("]").rpartition("[")
            resource, *rest = before.replace("[", " [").split()
            if resource.startswith(("[", "selfsubject")):
                continue
            name = rest[-1].strip("[]")
            found |= {(namespace, resource, name, verb) for verb in verbs.split()}
    return found


def numbered(site: str) -> set[Right]:
    """Return the rights that changing weights and numbers takes."""
    application = SITES[site]["workload"]
    objects = [
        ("apps", "virtualservices.networking.istio.io", application),
        ("apps", "sidecars.networking.istio.io", f"spillover-{application}"),
        ("istio-system", "serviceentries.networking.istio.io", f"spillover-{application}"),
        ("istio-system", FILTERS, f"spillover-{application}-attempts"),
        ("istio-system", FILTERS, f"spillover-{application}-grants"),
    ]
    return {(*what, verb) for what in objects for verb in ("get", "patch")}


@pytest.mark.parametrize("site", sorted(SITES))
def test_the_controllers_account_may_read_and_patch_its_objects_by_name_and_nothing_else(site: str) -> None:
    lease = {("spillover-system", "leases.coordination.k8s.io", "controller", verb) for verb in ("get", "update")}
    lease |= {("spillover-system", "leases.coordination.k8s.io", "", "create")}
    token = {("spillover-system", "serviceaccounts/token", "spillover-controller", "create")}
    assert rights(site, "spillover-controller") == numbered(site) | token | (lease if site == "cloud" else set())


def asked_for(account: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Ask for a token at edge1 as the controller's account; what is granted is a real one, and shown to nobody."""
    return run([
        KUBECTL, f"--kubeconfig={KUBECONFIG}", "--context=edge1", f"--as={ACCOUNT}spillover-controller",
        "--namespace=spillover-system", "create", "token", account, *arguments,
    ])  # fmt: skip


def test_the_controller_may_ask_for_its_own_token_for_a_day_at_most() -> None:
    assert asked_for("spillover-controller", "--duration=10m").returncode == 0
    longer = asked_for("spillover-controller", "--duration=25h")
    assert longer.returncode != 0
    assert "the controller may ask for tokens of at most 86400 s, got 90000" in longer.stderr


@pytest.mark.parametrize("account", ["collector", "default"])
def test_the_controller_gets_nobody_elses_token(account: str) -> None:
    other = asked_for(account)
    assert other.returncode != 0
    assert "serviceaccounts/token" in other.stderr
    assert "forbidden" in other.stderr


@pytest.mark.parametrize("site", sorted(SITES))
def test_the_collectors_account_may_do_nothing(site: str) -> None:
    assert rights(site, "collector") == set()


@pytest.mark.parametrize(
    ("verb", "what"),
    [
        *((verb, FILTERS) for verb in ("create", "update", "delete", "deletecollection", "list", "watch")),
        ("patch", f"{FILTERS}/spillover-doors"),
        ("patch", "virtualservices.networking.istio.io/another"),
        ("get", "secrets"), ("list", "secrets"), ("get", "pods/log"), ("create", "pods/exec"),
        ("create", "serviceaccounts/token"), ("patch", "serviceaccounts"), ("impersonate", "users"),
        ("patch", "deployments.apps/edgeapp"),
        ("delete", "validatingadmissionpolicies.admissionregistration.k8s.io"),
        ("bind", "roles.rbac.authorization.k8s.io"), ("escalate", "roles.rbac.authorization.k8s.io"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("namespace", ["apps", "istio-system"])
def test_what_a_stolen_token_must_not_do_is_refused(namespace: str, verb: str, what: str) -> None:
    asked = run([
        KUBECTL, f"--kubeconfig={KUBECONFIG}", "--context=edge1", "auth", "can-i", verb, what,
        f"--as={ACCOUNT}spillover-controller", f"--namespace={namespace}",
    ])  # fmt: skip
    assert asked.stdout.strip() == "no", asked.stderr


FILTERS_AT = "{filters}"
BUCKET = f"{FILTERS_AT}/spillover.bucket/token_bucket"
GRANTS = "/spec/configPatches/0/patch/value/typed_per_filter_config/spillover.grants"
ATTEMPTS = ("istio-system", "envoyfilter/spillover-edgeapp-attempts")
GRANTED = ("istio-system", "envoyfilter/spillover-edgeapp-grants")
PEERS = ("istio-system", "serviceentry/spillover-edgeapp")
LIMITS = ("apps", "sidecar/spillover-edgeapp")
ROUTES = ("apps", "virtualservice/edgeapp")
TOKENS = {"max_tokens": 3, "tokens_per_fill": 1, "fill_interval": "0.5s"}


def patched(target: tuple[str, str], path: str, value: Any) -> subprocess.CompletedProcess[str]:
    """Try to change one place as the controller's account, without changing it."""
    namespace, name = target
    if path.startswith(FILTERS_AT):
        path = path.format(filters=bucket_of("edge1")[0].partition("/spillover.bucket")[0])
    change = json.dumps([{"op": "add", "path": path, "value": value}])
    return run([
        KUBECTL, f"--kubeconfig={KUBECONFIG}", "--context=edge1", f"--as={ACCOUNT}spillover-controller",
        f"--namespace={namespace}", "patch", name, "--type=json", f"--patch={change}", "--dry-run=server",
    ])  # fmt: skip


@pytest.mark.parametrize(
    ("target", "path", "value"),
    [
        (ATTEMPTS, BUCKET, TOKENS),
        (ATTEMPTS, "/metadata/annotations/spillover.dev~1epoch", "1000000"),
        (GRANTED, GRANTS + "/descriptors/0/token_bucket", TOKENS),
        (PEERS, "/spec/endpoints/0/weight", 55),
        (LIMITS, "/spec/ingress/0/connectionPool/http/http2MaxRequests", 9),
        (ROUTES, "/spec/http/0/route/0/weight", 90),
    ],
)
def test_numbers_may_be_changed(target: tuple[str, str], path: str, value: Any) -> None:
    ended = patched(target, path, value)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    ("target", "path", "value", "sentence"),
    [
        (ATTEMPTS, BUCKET, TOKENS | {"more": 1}, "only the rates of token buckets"),
        (ATTEMPTS, BUCKET, TOKENS | {"max_tokens": "3"}, "only the rates of token buckets"),
        (ATTEMPTS, BUCKET, TOKENS | {"fill_interval": "${secret}"}, "only the rates of token buckets"),
        (ATTEMPTS, f"{FILTERS_AT}/spillover.bucket/stat_prefix", "x", "only the rates of token buckets"),
        (ATTEMPTS, f"{FILTERS_AT}/spillover.more", {}, "only the rates of token buckets"),
        (ATTEMPTS, "/spec/configPatches/1/patch/value/more", 1, "only the rates of token buckets"),
        (ATTEMPTS, "/spec/configPatches/0/applyTo", "LISTENER", "what the patches of an EnvoyFilter apply to"),
        (
            ATTEMPTS, "/spec/configPatches/-", {"applyTo": "CLUSTER", "patch": {"operation": "REMOVE"}},
            "what the patches of an EnvoyFilter apply to",
        ),
        (ATTEMPTS, "/spec/workloadSelector/labels/istio", "other", "only spec.configPatches of a EnvoyFilter"),
        (ATTEMPTS, "/metadata/labels", {"a": "b"}, "labels, finalizers or owners"),
        (ATTEMPTS, "/metadata/annotations/other", "x", "no annotation but spillover.dev/epoch"),
        (GRANTED, GRANTS + "/descriptors/0/entries/0/value", "spiffe://evil", "only the rates of token buckets"),
        (GRANTED, GRANTS + "/token_bucket", TOKENS, "only the rates of token buckets"),
        (GRANTED, GRANTS + "/filter_enforced/default_value/numerator", 0, "only the rates of token buckets"),
        (PEERS, "/spec/endpoints/0/address", "198.18.0.99", "only the weights of a ServiceEntry"),
        (PEERS, "/spec/hosts/0", "other.example", "only spec.endpoints of a ServiceEntry"),
        (LIMITS, "/spec/ingress/0/defaultEndpoint", "127.0.0.1:1", "only the limits of a Sidecar"),
        (ROUTES, "/spec/http/0/route/0/destination/host", "evil.example", "only the weights of a VirtualService"),
        (ROUTES, "/spec/http/0/mirror", {"host": "evil.example"}, "only the weights of a VirtualService"),
        (ROUTES, "/spec/gateways/0", "istio-system/other", "only spec.http of a VirtualService"),
    ],
)  # fmt: skip
def test_anything_else_is_refused_with_one_sentence(
    target: tuple[str, str], path: str, value: Any, sentence: str
) -> None:
    ended = patched(target, path, value)
    assert ended.returncode != 0
    assert "ValidatingAdmissionPolicy 'spillover-controller'" in ended.stderr
    assert sentence in ended.stderr


@pytest.mark.parametrize("site", sorted(SITES))
def test_our_own_containers_keep_the_restricted_pod_security_standard(site: str) -> None:
    """Only Istio's init container, which sets up the redirection of traffic, does not."""
    ended = run([
        KUBECTL, f"--kubeconfig={KUBECONFIG}", f"--context={site}", "label", "--dry-run=server", "--overwrite",
        "namespace", "spillover-system", "pod-security.kubernetes.io/enforce=restricted",
    ])  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    named = [word for word in ("controller", "collector") if f'container "{word}"' in ended.stderr]
    assert named == []


def test_the_tokens_appear_in_no_log_no_report_and_no_verbose_output() -> None:
    stored = json.loads(kubectl("cloud", "--namespace=spillover-system", "get", "secret/site-access", "--output=json"))
    access = [yaml.safe_load(base64.b64decode(text)) for text in stored["data"].values()]
    tokens = [document["users"][0]["user"]["token"] for document in access]
    assert len(tokens) == len(SITES)
    said = [
        kubectl(
            "cloud",
            "--namespace=spillover-system",
            "logs",
            "--selector=app=controller",
            "--all-containers",
            "--tail=-1",
        ),
        playbook("controller", "-vvv", "--check", "--diff").stdout,
    ]
    reports = [
        path for path in (ROOT / "results").rglob("*") if path.is_file() and path.suffix in {".html", ".json", ".jsonl"}
    ]
    said += [path.read_text(encoding="utf-8", errors="replace") for path in reports]
    for token in tokens:
        # The last part is the signature: whoever has the rest has nothing.
        assert not any(token.rpartition(".")[2] in text for text in said)
