"""Write a run's results: all of them or none."""

import contextlib
from collections.abc import Mapping
from pathlib import Path

from spillover.model import SpilloverError


def write_all(contents: Mapping[Path, bytes]) -> None:
    """Write every file beside its final place first, then rename all, so that a reader never meets half a result.

    Raises
    ------
    SpilloverError
        If a file cannot be written; nothing has changed then.
    """
    partial = {path: path.with_name(f".{path.name}.partial") for path in contents}
    try:
        for path, content in contents.items():
            partial[path].write_bytes(content)
        for path, temporary in partial.items():
            temporary.replace(path)
    except OSError as error:
        raise SpilloverError(f"cannot write {error.filename}: {error.strerror}") from error
    finally:
        for temporary in partial.values():
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
