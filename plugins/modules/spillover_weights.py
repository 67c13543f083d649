#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E402  Ansible wants the documentation before the imports
"""Ansible module: one reconciliation of the weights of an Istio VirtualService."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: spillover_weights
short_description: Set the traffic weights of an Istio VirtualService
version_added: "0.1.0"
author: The Spillover authors (@spillover)
description:
  - Compares the weights of one HTTP route of a VirtualService with those wanted, and writes those that differ.
  - The weights are given in O(weights), or computed by the paper's rule from O(rpm), O(rpm_max), O(home) and O(peers).
  - Nothing else in the VirtualService is touched. Destinations that are not named keep their weights.
  - The write is a JSON patch that tests the resource version. When someone else changed the object in between, it is
    read again and the comparison is repeated, five times at most.
  - A destination is named by its host, or by C(host/subset) if it has a subset. Where two destinations of the route
    would have the same name, C(:port) is appended to both.
requirements:
  - python >= 3.11
  - spillover
  - kubernetes >= 36.0.3
options:
  kubeconfig:
    description:
      - Path of the kubeconfig file.
      - Without it, the file that E(KUBECONFIG) names is used, else C(~/.kube/config).
    type: path
  context:
    description: Context of the kubeconfig. Without it, the file's current context is used.
    type: str
  namespace:
    description: Namespace of the VirtualService.
    type: str
    required: true
  name:
    description: Name of the VirtualService.
    type: str
    required: true
  api_version:
    description: API group and version by which the VirtualService is read and written.
    type: str
    default: networking.istio.io/v1
  route:
    description:
      - Name of the HTTP route whose weights are set.
      - It may be left out if the VirtualService has one HTTP route with destinations.
    type: str
  weights:
    description: Weight by destination. The weights of the whole route must sum to O(total).
    type: dict
  rpm:
    description: Demand at the origin in requests per minute, measured before the split.
    type: float
  rpm_max:
    description: Requests per minute that the origin serves well.
    type: float
  home:
    description: The destination that serves the origin's own share.
    type: str
  peers:
    description:
      - Capacity in requests per minute by destination, for the destinations that take what exceeds O(rpm_max).
      - The excess is divided in the ratio of the capacities.
    type: dict
  total:
    description: What the weights of the route sum to. A number above 100 makes the split finer.
    type: int
    default: 100
  timeout_s:
    description: Seconds to wait for each answer of the API server.
    type: float
    default: 10.0
attributes:
  check_mode:
    description: The server checks the write and does not store it.
    support: full
  diff_mode:
    description: Shows the VirtualService before and after.
    support: full
"""

EXAMPLES = r"""
- name: Send a quarter of the traffic to v2
  spillover_weights:
    namespace: default
    name: svc1
    weights:
      svc1/v2: 25
      svc1/v1: 75

- name: Keep 600 requests per minute at home and spill the rest to two peers
  spillover_weights:
    kubeconfig: ~/sites/edge1.kubeconfig
    namespace: edgeapp
    name: edgeapp
    rpm: 1200
    rpm_max: 600
    home: edgeapp.edgeapp.svc.cluster.local
    peers:
      edgeapp.edge2.peers.internal: 720
      edgeapp.cloud.peers.internal: 1440
"""

RETURN = r"""
weights:
  description: Weight by destination after the task, for all destinations of the route.
  returned: success
  type: dict
  sample: {"svc1/v2": 25, "svc1/v1": 75}
weights_before:
  description: Weight by destination before the task.
  returned: success
  type: dict
  sample: {"svc1/v2": 0, "svc1/v1": 100}
reason:
  description: Why the rule chose these weights.
  returned: when O(rpm) is given
  type: str
  sample: "1200 requests per minute exceed 600: 50 % stay"
"""

import traceback
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

try:
    from spillover.clusters import Cluster
    from spillover.model import SpilloverError
    from spillover.reconciliation import Change, Target, paper_weights, reconcile_weights
except ImportError as missing:
    IMPORT_ERROR: str | None = traceback.format_exc()
    MISSING = (missing.name or "spillover").partition(".")[0]
else:
    IMPORT_ERROR = None

RULE_OPTIONS = ("rpm", "rpm_max", "home", "peers")


def argument_spec() -> dict[str, Any]:
    """Return the options; a test compares them with DOCUMENTATION."""
    return {
        "kubeconfig": {"type": "path"},
        "context": {"type": "str"},
        "namespace": {"type": "str", "required": True},
        "name": {"type": "str", "required": True},
        "api_version": {"type": "str", "default": "networking.istio.io/v1"},
        "route": {"type": "str"},
        "weights": {"type": "dict"},
        "rpm": {"type": "float"},
        "rpm_max": {"type": "float"},
        "home": {"type": "str"},
        "peers": {"type": "dict"},
        "total": {"type": "int", "default": 100},
        "timeout_s": {"type": "float", "default": 10.0},
    }


def whole_number(name: str, value: object) -> int:
    """Return a weight as an integer; templates and the command line give strings."""
    if isinstance(value, str) and value.strip().isdigit():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise SpilloverError(f"weights.{name} must be a whole number of 0 or more, got {value!r}")
    return value


def number(name: str, value: object) -> float:
    """Return a capacity as a number; templates and the command line give strings."""
    try:
        return float(str(value))
    except ValueError:
        raise SpilloverError(f"peers.{name} must be a number above 0, got {value!r}") from None


def wanted(params: dict[str, Any]) -> tuple[dict[str, int], dict[str, str]]:
    """Return the weights to have, and the rule's reason as a result if there is one."""
    if params["weights"] is not None:
        return {name: whole_number(name, value) for name, value in params["weights"].items()}, {}
    weights, reason = paper_weights(
        rpm=params["rpm"],
        rpm_max=params["rpm_max"],
        home=params["home"],
        peers={name: number(name, value) for name, value in params["peers"].items()},
        total=params["total"],
    )
    return weights, {"reason": reason}


def shown(virtual_service: Any) -> dict[str, Any]:
    """Return the part of the object that a person would compare."""
    metadata = virtual_service["metadata"]
    return {
        "apiVersion": virtual_service["apiVersion"],
        "kind": virtual_service["kind"],
        "metadata": {"name": metadata["name"], "namespace": metadata["namespace"]},
        "spec": virtual_service["spec"],
    }


def run(params: dict[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """Reconcile once; return the module's result."""
    weights, reason = wanted(params)
    target = Target(params["namespace"], params["name"], params["route"], params["api_version"])
    cluster = Cluster.from_kubeconfig(params["kubeconfig"], params["context"], timeout_s=params["timeout_s"])
    change: Change = reconcile_weights(cluster, target, weights, total=params["total"], dry_run=check_mode)
    return {
        "changed": change.changed,
        "weights": dict(change.weights),
        "weights_before": dict(change.weights_before),
        "diff": {"before": shown(change.before), "after": shown(change.after)},
        **reason,
    }


def main() -> None:
    """Entry point for Ansible."""
    module = AnsibleModule(
        argument_spec=argument_spec(),
        mutually_exclusive=[("weights", option) for option in RULE_OPTIONS],
        required_one_of=[("weights", "rpm")],
        required_together=[RULE_OPTIONS],
        supports_check_mode=True,
    )
    if IMPORT_ERROR is not None:
        module.fail_json(msg=missing_required_lib(MISSING), exception=IMPORT_ERROR)
    try:
        result = run(module.params, check_mode=module.check_mode)
    except SpilloverError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
