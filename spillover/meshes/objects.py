"""How an object of a site's Kubernetes API is named."""

from __future__ import annotations

from typing import NamedTuple


class ObjectRef(NamedTuple):
    """A namespaced object.

    Parameters
    ----------
    api_version : str
        ``group/version``.
    plural : str
        Its kind, as in the API's path.
    namespace, name : str
        Where it is.
    """

    api_version: str
    plural: str
    namespace: str
    name: str

    def __str__(self) -> str:
        """Return it as in a sentence."""
        return f"{self.plural}.{self.api_version.partition('/')[0]} {self.namespace}/{self.name}"
