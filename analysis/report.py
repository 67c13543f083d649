"""report.html: one self-contained file, its words from `analysis.findings`, its figures as SVG inside."""

import json
import re
import shlex
from typing import Any

import jinja2
from markupsafe import Markup
from matplotlib.figure import Figure

from analysis import figures, findings, reliability, replicas, wording
from analysis.load import Run
from analysis.metrics import CONFIDENCE, Measured
from analysis.paths import REPORT_TEMPLATE, TEMPLATES
from analysis.timeline import timeline

NUMBER_AND_UNIT = re.compile(r"(\d) (%|ms|s)(?=\W|$)")


def report(measured: Measured) -> bytes:
    """Return the report of a run as HTML; the same run gives the same bytes."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_unbroken,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(REPORT_TEMPLATE).render(_context(measured)).encode()


def _unbroken(value: Any) -> Any:
    """Keep a number and its unit on one line."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return NUMBER_AND_UNIT.sub("\\1\N{NO-BREAK SPACE}\\2", value)


def _context(measured: Measured) -> dict[str, Any]:
    run = measured.run
    return {
        "experiment": run.experiment,
        "run_id": run.run_id,
        "origin": run.busiest_origin,
        "headline": findings.headline(measured),
        "cards": findings.cards(measured),
        "doubts": reliability.doubts(run),
        "timeline": _inline(timeline(run)),
        "bars": _inline(figures.bars(measured)),
        "rows": findings.table(measured),
        "published": findings.PUBLISHED,
        "confidence": wording.percent(CONFIDENCE, 0),
        "one_repeat": all(len(repeats) == 1 for repeats in measured.merits.values()),
        "timeouts": sorted({wording.ms(cell.timeout_ms) for cell in run.cells}),
        "sites": run.sites,
        "served": findings.served(run),
        "replicas": replicas.table(run),
        "links": [_link(link) for link in run.links],
        "link_doubts": reliability.link_doubts(run),
        "cells": _cells(run),
        "lateness_limit": wording.ms(reliability.LATENESS_LIMIT_MS),
        "provenance": _provenance(run),
    }


def _inline(figure: Figure) -> Markup:
    return Markup(figures.to_inline(figure))  # noqa: S704 - our own SVG; every name in it is drawn, not written


def _link(link: Any) -> dict[str, str]:
    p95_ms, samples = link.get("p95_rtt_ms"), link.get("samples")
    return {
        "origin": str(link["from"]),
        "peer": str(link["to"]),
        "configured": wording.ms(link["rtt_ms"]),
        "measured": wording.ms(link["measured_rtt_ms"]),
        "p95": wording.ms(p95_ms) if isinstance(p95_ms, int | float) else wording.NOTHING,
        "samples": f"{samples:,}" if isinstance(samples, int) else wording.NOTHING,
    }


def _cells(run: Run) -> list[dict[str, str]]:
    found = reliability.doubts(run)
    return [
        {
            "cell": cell.name,
            "variant": cell.variant,
            "seed": str(cell.seed),
            "sent": f"{int(cell.load_summary['requests']):,}",
            "rows": f"{len(cell.samples):,}",
            "lead_in": f"{int((~cell.samples['in_step']).sum()):,}",
            "lateness_p50": wording.ms(float(cell.samples["lateness_ms"].median())),
            "lateness_p99": wording.ms(reliability.lateness_p99_ms(cell)),
            "lateness_max": wording.ms(float(cell.samples["lateness_ms"].max())),
            "stopped_by": str(cell.load_summary.get("stopped_by", wording.NOTHING)),
            "verdict": "in doubt" if any(doubt.cell == cell.name for doubt in found) else "reliable",
        }
        for cell in run.cells
    ]


def _provenance(run: Run) -> dict[str, Any]:
    document = run.document
    git = document.get("git") or {}
    revision = str(git.get("revision", "unknown"))
    return {
        "revision": revision,
        "dirty": bool(git.get("dirty", False)),
        "started_at": document.get("started_at", "unknown"),
        "ended_at": document.get("ended_at", "unknown"),
        "machine": document.get("machine") or {},
        "versions": document.get("versions") or {},
        "seeds": ", ".join(str(seed) for seed in document.get("seeds") or []),
        "capacities": {site: f"{60 * rps:,.0f} RPM ({rps:.2f} per second)"
                       for site, rps in (document.get("measured_capacity_rps") or {}).items()},
        "settings": json.dumps(document.get("settings") or {}, indent=2, ensure_ascii=False),
        "cells": json.dumps({cell.name: dict(cell.settings) for cell in run.cells}, indent=2, ensure_ascii=False),
        "command": str(document.get("command") or f"git checkout {revision} && ansible-playbook site.yml"),
        "analysis": f"python -m analysis {shlex.quote(f'results/{run.experiment}/{run.run_id}')}",
    }  # fmt: skip
