"""Ansible lookup: one short key for the content of files and folders."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

DOCUMENTATION = """
name: content_key
author: Spillover contributors
short_description: A short key that changes when the content of files, folders or texts changes
description:
  - Hashes every file (relative name, executable bit and content) and every literal text given, in order.
  - Used to name built things after what they were built from, so that a cache can be trusted without a clock.
options:
  _terms:
    description: Paths of files or folders. Byte-compiled Python files are left out.
    required: true
  text:
    description: Literal text that belongs to the key, for example a version or build flags.
    default: ""
"""

EXAMPLES = """
- ansible.builtin.debug:
    msg: "{{ lookup('content_key', 'workload', 'requirements/workload.lock', text='v1') }}"
"""

RETURN = """
_raw:
  description: Twelve hexadecimal digits.
  type: list
  elements: str
"""

_DIGITS = 12


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(p for p in path.rglob("*") if p.is_file() and "__pycache__" not in p.parts and p.suffix != ".pyc")


def content_key(paths: list[Path], text: str = "") -> str:
    """Return the key of the given files' and folders' content and of a literal text.

    Raises
    ------
    FileNotFoundError
        If a path does not exist.
    """
    digest = hashlib.sha256(text.encode())
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(path)
        for file in _files(path):
            name = file.relative_to(path.parent).as_posix()
            digest.update(f"\0{name}\0{file.stat().st_mode & 0o111}\0".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()[:_DIGITS]


class LookupModule(LookupBase):
    """Glue between Ansible and `content_key`."""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """Return one key for all terms together."""
        self.set_options(var_options=variables, direct=kwargs)
        try:
            return [content_key([Path(term) for term in terms], str(self.get_option("text")))]
        except FileNotFoundError as error:
            raise AnsibleLookupError(f"content_key: no such file or folder: {error}") from error
