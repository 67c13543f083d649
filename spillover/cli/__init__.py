"""``spillover …``: one file a command, imported only when it is called.

The daemon's image carries neither scipy nor numba: a command that needs them must cost the others nothing.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

import typer

from spillover.model import SpilloverError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_COMMANDS = {
    "controller": "Run the controller: read every site, decide, write weights.",
    "collector": "Run a site's collector: serve its demand as one counter.",
    "experiment": "Show the cells of an experiment, or the load of one of them.",
    "links": "Measure what each link adds to a request.",
    "decide": "Decide once: a snapshot in, a decision out, both JSON.",
    "render": "Decide once, and print the manifest of one origin for a mesh as YAML.",
    "simulate": "Run one scenario with simulated sites.",
    "sweep": "Run many simulations: variants x parameters x seeds.",
}
"""Name of the command, of its module in this package and of the function in that module; the line shown by --help."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 when all went well, 2 with one sentence when the input was wrong."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    called = next((argument for argument in given if not argument.startswith("-")), None)
    try:
        _build(called)(args=given, prog_name="spillover")
    except SpilloverError as error:
        sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
        sys.exit(2)


def _build(called: str | None) -> typer.Typer:
    """Return the application with every command's name and line, of which only the one called is imported."""
    app = typer.Typer(
        add_completion=False,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        help="Cooperative load balancing between Kubernetes edge sites through the service mesh.",
    )
    for name, line in _COMMANDS.items():
        app.command(name, help=line)(_load(name) if name == called else _not_called)
    return app


def _load(name: str) -> Callable[..., Any]:
    try:
        module = importlib.import_module(f"spillover.cli.{name}")
    except ModuleNotFoundError as error:
        raise SpilloverError(f"spillover {name} needs the Python module {error.name!r}, which is missing") from None
    function: Callable[..., Any] = getattr(module, name)
    return function


def _not_called() -> None:
    """Stand for a command that only --help shows."""
