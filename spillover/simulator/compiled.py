"""numba, with its cache of machine code in the user's cache directory.

Beside the sources, numba's default, the cache would dirty a checkout and fail where the package is installed read-only.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable

Function = TypeVar("Function", bound="Callable[..., Any]")

COMPILED_FROM = ("compiled.py", "heap.py", "kernel.py", "state.py")
"""What the machine code depends on."""


def _fingerprint() -> str:
    """Digest of the sources.

    numba looks at a function's own file only: code that was compiled with another file's constants would be used on,
    and a renamed type makes its index unreadable. So each state of the sources has a cache of its own.
    """
    here = Path(__file__).parent
    return hashlib.sha256(b"\0".join((here / name).read_bytes() for name in COMPILED_FROM)).hexdigest()[:16]


def _cache_directory() -> str:
    """Return a writable directory: in the user's cache, or a temporary one for a user without a home."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    directory = base / "spillover" / "numba" / _fingerprint()
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError:
        return tempfile.mkdtemp(prefix="spillover-numba-")
    return str(directory) if os.access(directory, os.W_OK) else tempfile.mkdtemp(prefix="spillover-numba-")


os.environ.setdefault("NUMBA_CACHE_DIR", _cache_directory())

import numba  # noqa: E402  (numba reads the variable once, when it is imported)


def compiled(function: Function) -> Function:
    """Compile a function to machine code at its first call, or take the code from the cache."""
    return cast("Function", numba.njit(cache=True)(function))
