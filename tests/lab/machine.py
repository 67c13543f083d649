"""What a lab leaves on the machine: everything that must be as before once the lab is gone."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, fields
from pathlib import Path

_SYSCTL_ROOTS = ("fs", "kernel", "net", "user", "vm")
# Counters and clocks of the kernel, which change by themselves; conf.<interface> comes and goes with the interface.
_OF_THEIR_OWN = re.compile(
    r"random|fs\.quota|ns_last_pid|pty\.nr|(dentry|inode|file)-(state|nr)|aio-nr|perf_event|sched_domain|epoch|netfilter\.nf_conntrack_count"
    r"|net\.(ipv4|ipv6)\.(conf|neigh)\.(?!all|default)"
)
_ENGINE_PROGRAMS = ("dockerd", "containerd", "runc", "docker-proxy", "docker-init")


@dataclass(frozen=True)
class Machine:
    """One look at the machine; each field is a set of lines.

    Attributes
    ----------
    links, addresses, routes
        Of the machine's own network namespace, and the network namespaces that have a name.
    packet_filter
        Rules of iptables, ip6tables and nftables, without counters.
    mounts
        Mount points in this mount namespace.
    processes
        Each process of a container engine, and each process namespace beside ours.
    sysctls
        Settings of the kernel.
    folders
        What lies directly in the folders where a lab keeps its state.
    """

    links: frozenset[str]
    addresses: frozenset[str]
    routes: frozenset[str]
    packet_filter: frozenset[str]
    mounts: frozenset[str]
    processes: frozenset[str]
    sysctls: frozenset[str]
    folders: frozenset[str]

    @classmethod
    def now(cls) -> Machine:
        """Look."""
        return cls(
            links=_lines("ip", "-brief", "link") | _lines("ip", "netns"),
            addresses=_lines("ip", "-brief", "address"),
            routes=_lines("ip", "route", "show", "table", "all") | _lines("ip", "rule"),
            packet_filter=_rules("iptables-save") | _rules("ip6tables-save") | _rules("nft", "list", "ruleset"),
            mounts=frozenset(line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()),
            processes=_processes(),
            sysctls=_sysctls(),
            folders=frozenset(
                str(path) for root in ("/var/lib", "/run", "/etc", "/opt") for path in Path(root).glob("*")
            ),
        )

    def differences(self, later: Machine) -> dict[str, tuple[list[str], list[str]]]:
        """Return what is gone and what is new in ``later``, by field; nothing where both are the same."""
        found = {}
        for field in fields(self):
            before, after = getattr(self, field.name), getattr(later, field.name)
            if before != after:
                found[field.name] = (sorted(before - after), sorted(after - before))
        return found


def _lines(*command: str) -> frozenset[str]:
    try:
        ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except FileNotFoundError:
        return frozenset()
    return frozenset(line.strip() for line in ended.stdout.splitlines() if line.strip())


def _rules(*command: str) -> frozenset[str]:
    without_counters = (re.sub(r"\[\d+:\d+\]|counter packets \d+ bytes \d+", "", line) for line in _lines(*command))
    return frozenset(line for line in without_counters if not line.startswith("#"))


def _processes() -> frozenset[str]:
    ours = Path("/proc/self/ns/pid").readlink()
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            name, namespace = (entry / "comm").read_text().strip(), (entry / "ns/pid").readlink()
        except OSError:  # it has just ended
            continue
        if namespace != ours:
            found.add(f"in {namespace}")
        elif name.startswith(_ENGINE_PROGRAMS):
            found.add(f"{entry.name} {name}")
    return frozenset(found)


def _sysctls() -> frozenset[str]:
    found = set()
    for root in _SYSCTL_ROOTS:
        for path in Path("/proc/sys", root).rglob("*"):
            name = ".".join(path.relative_to("/proc/sys").parts)
            if path.is_dir() or _OF_THEIR_OWN.search(name):
                continue
            try:
                found.add(f"{name} = {path.read_text().strip()}")
            except OSError:  # it can only be written, or belongs to an interface that has gone
                continue
    return frozenset(found)
