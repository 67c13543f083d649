#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E402  Ansible wants the documentation before the imports
"""Ansible module: whether a site's proxies take what they are told."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: spillover_updates
short_description: Wait until Istio's proxies have taken an update
version_added: "0.1.0"
author: The Spillover authors (@spillover)
description:
  - Without O(since), counts the updates that each proxy has taken and rejected since it started.
  - With O(since), waits until an update has come and is taken whole, and fails as soon as a proxy rejects one, with the
    proxy's own words as far as istiod has logged them.
  - Nothing is changed.
requirements:
  - python >= 3.11
  - spillover
options:
  kubectl:
    description: How to call kubectl, program and options, for this site.
    type: list
    elements: str
    required: true
  proxies:
    description:
      - The proxies, each as C(NAMESPACE/KIND/NAME), such as C(istio-system/deployment/istio-ingressgateway).
      - One pod of each is asked.
    type: list
    elements: str
    required: true
  since:
    description: RV(counts) from before the change.
    type: dict
  wait_s:
    description: Seconds within which an update must begin to arrive. When none does, nobody was told anything new.
    type: float
    default: 8.0
  settle_s:
    description: Seconds to look on after that.
    type: float
    default: 1.5
attributes:
  check_mode:
    description: Nothing is changed.
    support: full
  diff_mode:
    description: Nothing is changed.
    support: none
"""

EXAMPLES = r"""
- name: Count
  spillover_updates:
    kubectl: [kubectl, --context=edge1]
    proxies: [istio-system/deployment/istio-ingressgateway]
  register: before

- name: See that the change is taken
  spillover_updates:
    kubectl: [kubectl, --context=edge1]
    proxies: [istio-system/deployment/istio-ingressgateway]
    since: "{{ before.counts }}"
"""

RETURN = r"""
counts:
  description: By proxy, C(taken) and C(rejected) since it started. A proxy that cannot be asked is left out.
  returned: success
  type: dict
  sample: {"istio-system/deployment/istio-ingressgateway": {"taken": 41, "rejected": 0}}
"""

import time
import traceback
from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

try:
    from spillover.meshes import overflow
except ImportError as missing:
    IMPORT_ERROR: str | None = traceback.format_exc()
    MISSING = (missing.name or "spillover").partition(".")[0]
else:
    IMPORT_ERROR = None

STATISTICS = "stats?filter=update_(success|rejected)"
WORDS_S = 2.0
"""The proxy counts a rejection before istiod has heard of it."""

MARK = "ACK ERROR"
"""What istiod logs for an update that a proxy rejects, followed by whose it was and the proxy's words."""


def argument_spec() -> dict[str, Any]:
    """Return the options; a test compares them with DOCUMENTATION."""
    return {
        "kubectl": {"type": "list", "elements": "str", "required": True},
        "proxies": {"type": "list", "elements": "str", "required": True},
        "since": {"type": "dict"},
        "wait_s": {"type": "float", "default": 8.0},
        "settle_s": {"type": "float", "default": 1.5},
    }


def read(module: AnsibleModule) -> dict[str, Any]:
    """Return the counts of each proxy that answers."""
    counts = {}
    for proxy in module.params["proxies"]:
        namespace, _, workload = proxy.partition("/")
        code, text, _ = module.run_command(
            [
                *module.params["kubectl"], f"--namespace={namespace}", "exec", workload, "--container=istio-proxy",
                "--", "pilot-agent", "request", "GET", STATISTICS,
            ]
        )  # fmt: skip
        if code == 0:
            counts[proxy] = overflow.update_counts(text)
    return counts


def words(module: AnsibleModule, for_s: float) -> str:
    """Return what istiod was last told by a proxy that rejected something; empty when it logs nothing in time."""
    ends_s = time.monotonic() + WORDS_S
    while True:
        logs = ["--namespace=istio-system", "logs", "deployment/istiod", f"--since={int(for_s + WORDS_S) + 1}s"]
        _, text, _ = module.run_command([*module.params["kubectl"], *logs, "--tail=-1"])
        told = [line.partition(MARK)[2].strip() for line in text.splitlines() if MARK in line]
        if told or time.monotonic() >= ends_s:
            return f": {told[-1]}" if told else ""
        time.sleep(overflow.POLL_S)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec(), supports_check_mode=True)
    if IMPORT_ERROR is not None:
        module.fail_json(msg=missing_required_lib(MISSING), exception=IMPORT_ERROR)
    since, began_s = module.params["since"], time.monotonic()
    if since is None:
        module.exit_json(changed=False, counts={proxy: asdict(counts) for proxy, counts in read(module).items()})
    try:
        counts = overflow.watch(
            lambda: read(module),
            {proxy: overflow.UpdateCounts(**counts) for proxy, counts in since.items()},
            wait_s=module.params["wait_s"],
            settle_s=module.params["settle_s"],
            clock=time.monotonic,
            sleep=time.sleep,
        )
    except overflow.Rejected as rejected:
        module.fail_json(msg=f"{rejected}{words(module, time.monotonic() - began_s)}")
    except TypeError:
        module.fail_json(msg=f"since must be the counts that this module returned, got {since!r}")
    module.exit_json(changed=False, counts={proxy: asdict(one) for proxy, one in counts.items()})


if __name__ == "__main__":
    main()
