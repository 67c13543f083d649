"""``spillover decide``: one snapshot in, one decision out, both JSON."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spillover import policies
from spillover.model import Snapshot, SpilloverError
from spillover.validation import parse_json, read_json

if TYPE_CHECKING:
    from spillover.model import Decision

OPTIMUM_UP_TO_SITES = 50


def decide(
    snapshot: Annotated[str, typer.Argument(metavar="SNAPSHOT.json", help="The snapshot; - is standard input.")],
    policy: Annotated[str, typer.Option(help=f"One of {', '.join(policies.NAMES)}.")] = policies.DEFAULT,
    total: Annotated[int, typer.Option(help="What each origin's integer weights sum to.")] = 100,
    state: Annotated[
        Path | None,
        typer.Option(help="File with the state of the previous decision; read if it is there, then written."),
    ] = None,
    *,
    optimum: Annotated[
        bool, typer.Option("--optimum", help=f"Compute the optimum above {OPTIMUM_UP_TO_SITES} sites too.")
    ] = False,
) -> None:
    """Decide for one snapshot and print the decision as one JSON object."""
    try:
        result = run(snapshot, policy=policy, total=total, state=state, optimum=optimum)
    except SpilloverError as error:
        typer.echo(f"spillover decide: {error}", err=True)
        raise typer.Exit(2) from error
    typer.echo(json.dumps(result, allow_nan=False, indent=2))


def run(snapshot: str, *, policy: str, total: int, state: Path | None, optimum: bool) -> dict[str, Any]:
    """Decide once and return what is to be printed.

    Raises
    ------
    SpilloverError
        For every bad input.
    """
    parsed, decision = decide_once(snapshot, policy=policy, total=total, state=state)
    best = _optimum_ms(parsed) if optimum or len(parsed.sites) <= OPTIMUM_UP_TO_SITES else None
    return _with_optimum(decision, best)


def decide_once(snapshot: str, *, policy: str, total: int, state: Path | None) -> tuple[Snapshot, Decision]:
    """Read the inputs, decide, write the state, and return the snapshot and the decision; errors are those of `run`."""
    rule = policies.get(policy)
    parsed = Snapshot.from_dict(_json(snapshot))
    before = read_json(state) if state is not None and state.exists() else None
    decision, after = rule(parsed, before, total=total)
    if state is not None:
        _write(state, json.dumps(after, allow_nan=False))
    return parsed, decision


def _with_optimum(decision: Decision, best: float | None) -> dict[str, Any]:
    """Put ``optimum_mean_ms`` beside the predicted mean."""
    result: dict[str, Any] = {}
    for key, value in decision.to_dict().items():
        result[key] = value
        if key == "predicted_mean_ms":
            result["optimum_mean_ms"] = best
    return result


def _optimum_ms(snapshot: Snapshot) -> float | None:
    try:
        from spillover.optimum import solve  # noqa: PLC0415  (scipy is heavy, and not installed beside the daemon)
    except ImportError as error:
        raise SpilloverError(f"the optimum needs the extra 'sim' of spillover, got {error}") from error
    return solve(snapshot).mean_ms


def _json(name: str) -> Any:
    if name == "-":
        return parse_json(sys.stdin.buffer.read(), source="standard input")
    return read_json(Path(name))


def _write(path: Path, text: str) -> None:
    """Replace the file in one step, so that a killed run leaves the old state."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        raise SpilloverError(f"the state must be writable, got {str(path)!r}: {error.strerror}") from error
