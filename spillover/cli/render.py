"""``spillover render``: one snapshot in, the manifest of one origin's weights out, as YAML."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  typer reads the annotation
from typing import TYPE_CHECKING, Annotated

import typer
import yaml

from spillover import policies
from spillover.cli.decide import decide_once
from spillover.meshes.catalogue import MESHES, get
from spillover.model import SpilloverError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_FORMS = "; ".join(f"{name}: {mesh.destination}" for name, mesh in MESHES.items())
_HOSTS = "; ".join(f"{name}: {mesh.host}" for name, mesh in MESHES.items())


def render(
    snapshot: Annotated[str, typer.Argument(metavar="SNAPSHOT.json", help="The snapshot; - is standard input.")],
    mesh: Annotated[str, typer.Option(help=f"One of {', '.join(MESHES)}.")],
    origin: Annotated[str, typer.Option(metavar="SITE", help="The site whose split is rendered.")],
    name: Annotated[str, typer.Option(help="Of the new object.")],
    namespace: Annotated[str, typer.Option(metavar="NS", help="Of the new object.")],
    host: Annotated[str, typer.Option(help=f"What the clients call. {_HOSTS}.")],
    destination: Annotated[
        list[str], typer.Option(metavar="SITE=KEY", help=f"What the mesh calls a site; once for each. {_FORMS}.")
    ],
    policy: Annotated[str, typer.Option(help=f"One of {', '.join(policies.NAMES)}.")] = policies.DEFAULT,
    total: Annotated[int, typer.Option(help="What the integer weights sum to.")] = 100,
    state: Annotated[
        Path | None,
        typer.Option(help="File with the state of the previous decision; read if it is there, then written."),
    ] = None,
) -> None:
    """Decide for one snapshot and print the manifest of one origin for a mesh as YAML."""
    try:
        chosen = get(mesh)
        keys = _keys(destination)
        _, decision = decide_once(snapshot, policy=policy, total=total, state=state)
        weights = by_key(decision.weights, origin, keys)
        manifest = chosen.render(name, namespace, host, weights, total=total)
    except SpilloverError as error:
        typer.echo(f"spillover render: {error}", err=True)
        raise typer.Exit(2) from error
    typer.echo(yaml.safe_dump(manifest, sort_keys=False), nl=False)


def by_key(weights: Mapping[str, Mapping[str, int]], origin: str, keys: Mapping[str, str]) -> dict[str, int]:
    """Return the origin's weights by what the mesh calls its sites, with the zeros that a decision leaves out.

    Parameters
    ----------
    weights : mapping of origin to mapping of site to int
        A decision's.
    origin : str
        The site whose split is wanted.
    keys : mapping of site to str
        The mesh's name of each.

    Raises
    ------
    SpilloverError
        If the origin or a site is unknown, or a site that gets traffic has no key.
    """
    if origin not in weights:
        raise SpilloverError(f"origin must be one of {', '.join(weights)}, got {origin!r}")
    for site in keys:
        if site not in weights:
            raise SpilloverError(f"destination must name one of {', '.join(weights)}, got {site!r}")
    for site, weight in weights[origin].items():
        if weight and site not in keys:
            raise SpilloverError(f"destination must name each site that gets traffic, got none for {site!r} ({weight})")
    return {key: weights[origin].get(site, 0) for site, key in keys.items()}


def _keys(given: Sequence[str]) -> dict[str, str]:
    """Return what the mesh calls each site, from ``SITE=KEY``."""
    keys: dict[str, str] = {}
    for text in given:
        site, equals, key = text.partition("=")
        if not (site and equals and key):
            raise SpilloverError(f"destination must have the form SITE=KEY, got {text!r}")
        if site in keys or key in keys.values():
            raise SpilloverError(f"destination must name each site and each key once, got {text!r} again")
        keys[site] = key
    return keys
