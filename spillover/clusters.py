"""The Kubernetes API of one site: objects, their weights, other numbers and epochs; leases; watches, status, events.

The only import of kubernetes.

Nothing is retried in secret and every call has a deadline: whoever calls decides what a failure means. The one
exception is an answer of 401, after which the credentials are read again and the call is made once more, because the
Kubernetes client never reads a rotated token file by itself. A working token, which was traded for the stored one, is
in memory only, and is dropped when it is refused or another one is stored.
"""

from __future__ import annotations

import json
import re
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import urllib3.exceptions
import yaml
from kubernetes import client, config

from spillover.meshes.objects import EPOCH_ANNOTATION
from spillover.meshes.overflow.numbers import OWNED_PATH as OWNED_NUMBERS
from spillover.model import SpilloverError
from spillover.tokens import claims_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from spillover.meshes.objects import ObjectRef

T = TypeVar("T")

DEFAULT_API_VERSION = "networking.istio.io/v1"
_PLURAL = "virtualservices"
_OWNED_PATH = re.compile(r"/spec/http/\d+/route/\d+/weight")
_RESOURCE_VERSION_PATH = "/metadata/resourceVersion"
_LEASES = ("coordination.k8s.io", "v1")
_EVENTS = ("events.k8s.io", "v1")

_BEARER_KEY, _BEARER = "BearerToken", "Bearer "
"""Where a client keeps its token, and what stands before it."""

_LONGEST_EVENT = 8_000_000
"""Bytes of one event of a watch; the API server stores no object above 1.5 MB."""


class ClusterError(SpilloverError):
    """A call to a site's Kubernetes API that failed; the message is one sentence.

    Attributes
    ----------
    retry_after_s : float or None
        Seconds that the server asked to wait (its Retry-After), or None.
    """

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class NotFound(ClusterError):  # noqa: N818  the contract's names: what went wrong, read as `except NotFound`
    """The object is not there, or the API server does not serve its kind."""


class Conflict(ClusterError):  # noqa: N818
    """The object changed after it was read: read it again and recompute."""


class Expired(ClusterError):  # noqa: N818
    """The API server has forgotten the version at which a watch was to begin: list again."""


class Unreachable(ClusterError):  # noqa: N818
    """No answer within the deadline, no connection, or an answer that says the server is ill (429, 5xx)."""


class Unauthorized(ClusterError):  # noqa: N818
    """The credentials are not accepted, also not after they were read again."""


class Forbidden(ClusterError):  # noqa: N818
    """The identity is known and lacks the permission."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A working token that was traded for another.

    Parameters
    ----------
    good_s : float
        Seconds for which the API server granted it, from when it was asked.
    stored_until_s : float, optional
        Unix seconds at which the stored token expires; None when it never does.
    """

    good_s: float
    stored_until_s: float | None


class Cluster:
    """One site's API server. Safe to use from several threads.

    Parameters
    ----------
    connect : callable
        Reads the credentials and returns a client; called at the start, on a timer and after a 401.
    timeout_s : float
        Deadline in seconds of each connection and of each wait for bytes of the answer.
    renew_s : float
        Age in seconds at which the credentials are read again, below the shortest life of a bound token (600 s).
    clock : callable
        Monotonic seconds.
    """

    def __init__(
        self,
        connect: Callable[[], client.CustomObjectsApi],
        *,
        timeout_s: float,
        renew_s: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not timeout_s > 0:
            raise ClusterError(f"timeout_s must be above 0, got {timeout_s}")
        self._connect = connect
        self._timeout_s = timeout_s
        self._renew_s = renew_s
        self._clock = clock
        self._lock = threading.Lock()
        self._api = connect()
        self._connected_at = clock()
        self._stored = self._working = ""

    @classmethod
    def from_kubeconfig(cls, path: str | Path | None, context: str | None = None, *, timeout_s: float = 2.0) -> Self:
        """Open the cluster that a kubeconfig names.

        Parameters
        ----------
        path : str, Path or None
            The file; None means what kubectl would take (``KUBECONFIG``, else ``~/.kube/config``).
        context : str, optional
            None means the file's current context.
        timeout_s : float
            See the class.

        Raises
        ------
        ClusterError
            If the file is absent or unusable. Whether the server answers shows at the first call.
        """
        return cls(lambda: _client(path, context), timeout_s=timeout_s)

    @classmethod
    def from_pod(cls, *, timeout_s: float = 2.0) -> Self:
        """Open the cluster in which this process is a pod, with the account that is mounted into it.

        Parameters
        ----------
        timeout_s : float
            See the class.

        Raises
        ------
        ClusterError
            If this is no pod, or no account is mounted.
        """
        return cls(_pod_client, timeout_s=timeout_s)

    @property
    def server(self) -> str:
        """Address of the API server, for messages."""
        return str(self._api.api_client.configuration.host)

    @property
    def exchanged(self) -> bool:
        """Whether a working token is in use, and not what is stored."""
        return bool(self._working)

    def exchange_token(self, life_s: int) -> Exchange | None:
        """Trade the token in use for a new one of the same ServiceAccount, in memory only.

        Connections stay, and calls under way end with the token that they began with, which is as good as before.

        Parameters
        ----------
        life_s : int
            Seconds for which it should be good; the API server may grant another life.

        Returns
        -------
        Exchange or None
            None if what is in use is no ServiceAccount's token: nothing was asked.

        Raises
        ------
        ClusterError
            See its subclasses; the token in use stays, or what is stored after a 401.
        """
        claims = claims_of(_token(self._api))
        if claims is None:
            return None
        path = f"/api/v1/namespaces/{claims.namespace}/serviceaccounts/{claims.name}/token"
        answer = self._call(
            f"a token of ServiceAccount {claims.namespace}/{claims.name}",
            lambda api: _post(api.api_client, path, {"spec": {"expirationSeconds": life_s}}, self._timeout_s),
        )
        token, good_s = _granted(answer, self.server)
        with self._lock:
            if not self._working:
                self._stored = _token(self._api)
            self._working = token
            _use(self._api, token)
            stored = claims_of(self._stored)
        return Exchange(good_s, None if stored is None else stored.expires_s)

    def get_virtual_service(self, namespace: str, name: str, api_version: str = DEFAULT_API_VERSION) -> dict[str, Any]:
        """Return the VirtualService as a plain dictionary; ClusterError says what went wrong."""
        group, version = _group_version(api_version)
        what = f"VirtualService {namespace}/{name} ({api_version})"
        return self._call(
            what,
            lambda api: api.get_namespaced_custom_object(
                group, version, namespace, _PLURAL, name, _request_timeout=self._timeout_s
            ),
        )

    def patch_virtual_service_weights(
        self,
        namespace: str,
        name: str,
        patch: Sequence[dict[str, Any]],
        dry_run: bool = False,
        *,
        api_version: str = DEFAULT_API_VERSION,
    ) -> dict[str, Any]:
        """Apply a JSON patch of weights and return the new object.

        Parameters
        ----------
        namespace, name : str
            Of the VirtualService.
        patch : sequence of dict
            From `spillover.meshes.istio.json_patch`: a test of the resourceVersion, then weights and nothing else.
        dry_run : bool
            Let the server do everything (admission, validation) but store it.
        api_version : str
            ``group/version`` to speak.

        Raises
        ------
        Conflict
            If the object is no longer the one that the patch was made from.
        ClusterError
            For everything else; see its subclasses.
        """
        _check_patch(patch, _OWNED_PATH)
        what = f"VirtualService {namespace}/{name} ({api_version})"
        return self._patch(what, (api_version, _PLURAL, namespace, name), patch, dry_run)

    def get_object(self, ref: ObjectRef) -> dict[str, Any]:
        """Return the object as a plain dictionary; ClusterError says what went wrong."""
        group, version = _group_version(ref.api_version)
        return self._call(
            str(ref),
            lambda api: api.get_namespaced_custom_object(
                group, version, ref.namespace, ref.plural, ref.name, _request_timeout=self._timeout_s
            ),
        )

    def patch_numbers(self, ref: ObjectRef, patch: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Apply a JSON patch from `spillover.meshes.overflow.numbers.json_patch` and return the new object.

        Raises
        ------
        Conflict
            If the object is no longer the one that the patch was made from.
        ClusterError
            For everything else; see its subclasses.
        """
        _check_patch(patch, OWNED_NUMBERS)
        return self._patch(str(ref), ref, patch, dry_run=False)

    def raise_epoch(self, ref: ObjectRef, version: str, epoch: int) -> dict[str, Any]:
        """Set the epoch that stands on an object, nothing else, and return the new object.

        Parameters
        ----------
        ref : ObjectRef
            Which object.
        version : str
            Its resourceVersion when it was read.
        epoch : int
            Above the one that stands there, which whoever read the object has seen to.

        Raises
        ------
        Conflict
            If the object is no longer the one that was read.
        ClusterError
            For everything else; see its subclasses.
        """
        group, api_version = _group_version(ref.api_version)
        # A merge patch makes the annotations where there are none, and the API server tests a version that it carries.
        body = {"metadata": {"resourceVersion": version, "annotations": {EPOCH_ANNOTATION: str(int(epoch))}}}
        return self._call(
            str(ref),
            lambda api: api.patch_namespaced_custom_object(
                group,
                api_version,
                ref.namespace,
                ref.plural,
                ref.name,
                body,
                _content_type="application/merge-patch+json",
                _request_timeout=self._timeout_s,
            ),
        )

    def get_lease(self, namespace: str, name: str) -> dict[str, Any]:
        """Return the lease as a plain dictionary; ClusterError says what went wrong."""
        return self._call(
            f"Lease {namespace}/{name}",
            lambda api: api.get_namespaced_custom_object(
                *_LEASES, namespace, "leases", name, _request_timeout=self._timeout_s
            ),
        )

    def write_lease(self, lease: dict[str, Any]) -> dict[str, Any]:
        """Replace the lease of this resourceVersion, or create one if it has none, and return what is stored.

        Raises
        ------
        Conflict
            If the lease is no longer the one of that version, or exists already.
        ClusterError
            For everything else; see its subclasses.
        """
        metadata, timeout_s = lease["metadata"], self._timeout_s
        namespace, name = metadata["namespace"], metadata["name"]

        def write(api: client.CustomObjectsApi) -> Any:
            if metadata.get("resourceVersion"):
                return api.replace_namespaced_custom_object(
                    *_LEASES, namespace, "leases", name, lease, _request_timeout=timeout_s
                )
            return api.create_namespaced_custom_object(*_LEASES, namespace, "leases", lease, _request_timeout=timeout_s)

        return self._call(f"Lease {namespace}/{name}", write)

    def list_objects(self, api_version: str, plural: str, namespace: str) -> dict[str, Any]:
        """Return all objects of a kind in a namespace as one list object; ClusterError says what went wrong."""
        group, version = _group_version(api_version)
        return self._call(
            f"{plural}.{group} in {namespace}",
            lambda api: api.list_namespaced_custom_object(
                group, version, namespace, plural, _request_timeout=self._timeout_s
            ),
        )

    def watch_objects(
        self, api_version: str, plural: str, namespace: str, version: str, *, watch_s: int
    ) -> Iterator[dict[str, Any]]:
        """Yield what happens to the objects of a kind in a namespace, until the watch ends.

        Parameters
        ----------
        api_version, plural, namespace : str
            Which objects.
        version : str
            The resourceVersion after which to begin.
        watch_s : int
            Seconds after which the server ends the watch; one that does not is given up a deadline later.

        Yields
        ------
        dict
            An event with ``type`` (``ADDED``, ``MODIFIED``, ``DELETED`` or ``BOOKMARK``) and ``object``.

        Raises
        ------
        Expired
            If the server has forgotten the version.
        ClusterError
            If the watch cannot begin, or breaks.
        """
        group, group_version = _group_version(api_version)
        what = f"{plural}.{group} in {namespace}"
        ends_s = self._clock() + watch_s + self._timeout_s

        def begin(api: client.CustomObjectsApi) -> Any:
            answer: Any = api.list_namespaced_custom_object(
                group,
                group_version,
                namespace,
                plural,
                watch=True,
                resource_version=version,
                timeout_seconds=watch_s,
                allow_watch_bookmarks=True,
                _preload_content=False,
                _request_timeout=(self._timeout_s, watch_s + self._timeout_s),
            )
            if answer.status != 200:
                raise _refusal(answer)
            return answer

        timeout_s = watch_s + self._timeout_s
        answer = self._renewing(lambda api: self._answer(what, begin, api, timeout_s))
        server = self.server
        try:
            with _translated(what, server, timeout_s):
                for line in _lines(answer):
                    yield _event(line, what, server)
                    if self._clock() > ends_s:
                        raise Unreachable(f"the API server at {server} did not end a watch of {watch_s} s")
        finally:
            answer.close()

    def replace_status(self, ref: ObjectRef, uid: str, status: Mapping[str, Any]) -> dict[str, Any]:
        """Replace an object's status and return the new object.

        Parameters
        ----------
        ref : ObjectRef
            Which object.
        uid : str
            Of the object that is meant: another one of that name is left alone.
        status : mapping
            The whole status.

        Raises
        ------
        Conflict
            If the object of that name is another one.
        ClusterError
            For everything else; see its subclasses.
        """
        group, version = _group_version(ref.api_version)
        # Metadata in the body would be ignored here; a test in the patch is not.
        body: list[dict[str, Any]] = [
            {"op": "test", "path": "/metadata/uid", "value": uid},
            {"op": "add", "path": "/status", "value": dict(status)},
        ]
        return self._call(
            str(ref),
            lambda api: api.patch_namespaced_custom_object_status(
                group,
                version,
                ref.namespace,
                ref.plural,
                ref.name,
                body,
                _content_type="application/json-patch+json",
                _request_timeout=self._timeout_s,
            ),
        )

    def create_event(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Create an event of events.k8s.io/v1; ClusterError says what went wrong."""
        namespace = event["metadata"]["namespace"]
        return self._call(
            f"Event {namespace}/{event['metadata']['name']}",
            lambda api: api.create_namespaced_custom_object(
                *_EVENTS, namespace, "events", dict(event), _request_timeout=self._timeout_s
            ),
        )

    def _patch(
        self, what: str, ref: tuple[str, str, str, str], patch: Sequence[dict[str, Any]], dry_run: bool
    ) -> dict[str, Any]:
        api_version, plural, namespace, name = ref
        group, version = _group_version(api_version)
        return self._call(
            what,
            lambda api: api.patch_namespaced_custom_object(
                group,
                version,
                namespace,
                plural,
                name,
                list(patch),
                _content_type="application/json-patch+json",
                _request_timeout=self._timeout_s,
                dry_run="All" if dry_run else None,
            ),
        )

    def _call(self, what: str, call: Callable[[client.CustomObjectsApi], Any]) -> dict[str, Any]:
        return self._renewing(lambda api: self._attempt(what, call, api))

    def _renewing(self, attempt: Callable[[client.CustomObjectsApi], T]) -> T:
        api = self._current()
        try:
            return attempt(api)
        except Unauthorized:
            return attempt(self._renewed(api, refused=True))

    def _attempt(
        self, what: str, call: Callable[[client.CustomObjectsApi], Any], api: client.CustomObjectsApi
    ) -> dict[str, Any]:
        answer = self._answer(what, call, api, self._timeout_s)
        if not isinstance(answer, dict):
            server = api.api_client.configuration.host
            raise Unreachable(f"the API server at {server} gave an answer that is not an object for {what}")
        return answer

    def _answer(
        self, what: str, call: Callable[[client.CustomObjectsApi], Any], api: client.CustomObjectsApi, timeout_s: float
    ) -> Any:
        with _translated(what, api.api_client.configuration.host, timeout_s):
            return call(api)

    def _current(self) -> client.CustomObjectsApi:
        api, age_s = self._api, self._clock() - self._connected_at
        return self._renewed(api, refused=False) if age_s > self._renew_s else api

    def _renewed(self, stale: client.CustomObjectsApi, *, refused: bool) -> client.CustomObjectsApi:
        """Replace the client, once for all threads that saw the same stale one.

        A working token stays in use, unless it was refused or another one is stored than it was traded for.
        """
        with self._lock:
            if self._api is stale:
                api = self._connect()
                if refused or (self._working and _token(api) != self._stored):
                    self._working = ""
                if self._working:
                    _use(api, self._working)
                self._api = api
                self._connected_at = self._clock()
            return self._api


@contextmanager
def _translated(what: str, server: str, timeout_s: float) -> Iterator[None]:
    """Turn whatever the libraries raise into one sentence and one type."""
    try:
        yield
    except client.ApiException as error:
        raise _from_status(what, server, error) from None
    except urllib3.exceptions.HTTPError as error:
        raise Unreachable(_silence(server, error, timeout_s)) from error
    except json.JSONDecodeError as error:
        raise Unreachable(f"the API server at {server} gave an answer that is not JSON") from error


def _refusal(answer: Any) -> client.ApiException:
    """Return the error of an answer whose body was not read yet."""
    error = client.ApiException(status=answer.status, reason=answer.reason)
    error.body = answer.read(_LONGEST_EVENT).decode("utf-8", errors="replace")
    error.headers = answer.headers
    answer.close()
    return error


def _lines(answer: Any) -> Iterator[bytes]:
    """Yield each whole line as soon as it is there."""
    rest = b""
    for chunk in answer.stream(65_536):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line for line in lines if line.strip())
        if len(rest) > _LONGEST_EVENT:
            raise ClusterError(f"an event of a watch must be at most {_LONGEST_EVENT} bytes, got more")


def _event(line: bytes, what: str, server: str) -> dict[str, Any]:
    event = json.loads(line)
    if not isinstance(event, dict) or not isinstance(event.get("object"), dict) or "type" not in event:
        raise Unreachable(f"the API server at {server} gave an answer that is not an event of a watch")
    if event["type"] == "ERROR":
        status = event["object"]
        error = client.ApiException(status=status.get("code") or 500, reason=str(status.get("message")))
        error.body = json.dumps(status)
        raise _from_status(what, server, error)
    return event


def _client(path: str | Path | None, context: str | None) -> client.CustomObjectsApi:
    configuration = client.Configuration()
    if path is not None and not Path(path).is_file():
        raise ClusterError(f"kubeconfig {path} is not a file")
    name = path or "of the environment (KUBECONFIG, else the one in the home directory)"
    try:
        config.load_kube_config(  # type: ignore[no-untyped-call]
            config_file=None if path is None else str(path),
            context=context,
            client_configuration=configuration,
            persist_config=False,
        )
    except config.ConfigException as error:
        raise ClusterError(f"kubeconfig {name} cannot be used: {_one_line(error)}") from error
    except (OSError, yaml.YAMLError, ValueError, TypeError, AttributeError, KeyError) as error:
        # The parser's own words could quote the file, and with it a credential.
        raise ClusterError(f"kubeconfig {name} cannot be read as a kubeconfig ({type(error).__name__})") from None
    return _api(configuration)


def _pod_client() -> client.CustomObjectsApi:
    configuration = client.Configuration()
    try:
        config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except config.ConfigException as error:
        raise ClusterError(f"the account of this pod cannot be used: {_one_line(error)}") from error
    return _api(configuration)


def _api(configuration: client.Configuration) -> client.CustomObjectsApi:
    configuration.retries = False  # the client's default is three silent retries
    # It would set everything again at each call, and look through the environment for proxies; `Cluster` renews.
    configuration.refresh_api_key_hook = None
    return client.CustomObjectsApi(client.ApiClient(configuration))


def _post(api: client.ApiClient, path: str, body: Mapping[str, Any], timeout_s: float) -> Any:
    """Post to the core API. The library's class for it costs 20 MB and keeps every thread waiting for its import."""
    headers = {"Accept": "application/json", "Content-Type": "application/json"}
    request = api.param_serialize("POST", path, header_params=headers, body=body, auth_settings=["BearerToken"])
    answer = api.call_api(*request, _request_timeout=timeout_s)
    said: Any = answer.read()  # type: ignore[no-untyped-call]
    if not 200 <= answer.status <= 299:
        raise client.ApiException(http_resp=answer)
    return json.loads(said)


def _token(api: client.CustomObjectsApi) -> str:
    """Return the bearer token that a client sends; empty for one that sends none."""
    return str(api.api_client.configuration.api_key.get(_BEARER_KEY, "")).removeprefix(_BEARER)


def _use(api: client.CustomObjectsApi, token: str) -> None:
    """Let a client send this token from its next call on."""
    api.api_client.configuration.api_key[_BEARER_KEY] = _BEARER + token


def _granted(answer: Mapping[str, Any], server: str) -> tuple[str, float]:
    """Return the token of an answer and the seconds for which it is good."""
    try:
        token, good_s = str(answer["status"]["token"]), float(answer["spec"]["expirationSeconds"])
    except (LookupError, TypeError, ValueError):
        token, good_s = "", 0.0
    if claims_of(token) is None or not good_s > 0:
        raise Unreachable(f"the API server at {server} gave an answer that is not a token")
    return token, good_s


def _group_version(api_version: str) -> tuple[str, str]:
    group, slash, version = api_version.partition("/")
    if not (group and slash and version) or "/" in version:
        raise ClusterError(f"api_version must be group/version, got {api_version!r}")
    return group, version


def _check_patch(patch: Sequence[dict[str, Any]], owned: re.Pattern[str]) -> None:
    """Refuse a patch that could touch what is not ours, or the object that it was not made from."""
    if not patch or patch[0].get("op") != "test" or patch[0].get("path") != _RESOURCE_VERSION_PATH:
        raise ClusterError(f"a patch of weights must begin with a test of {_RESOURCE_VERSION_PATH}")
    for operation in patch[1:]:
        if not owned.fullmatch(str(operation.get("path"))):
            raise ClusterError(f"a patch of weights must change weights only, got {operation.get('path')!r}")


def _from_status(what: str, server: str, error: client.ApiException) -> ClusterError:  # noqa: PLR0911  a table
    """Translate an answer that is not a success into one sentence and one type."""
    status = _status_object(error)
    said = _one_line(status.get("message") or error.reason or "no reason given")
    code = error.status
    if code == 404 and not status:
        return NotFound(f"{what} cannot exist: the API server at {server} does not serve this kind")
    if code == 404:
        return NotFound(f"{what} does not exist at {server}")
    # A JSON patch whose test fails is answered with a bare 422; a schema adds details, a webhook says that it denied.
    bare = not status.get("details") and "admission" not in said
    if code == 409 or (code == 422 and bare):
        return Conflict(f"{what} was changed by someone else after it was read")
    if code == 410:
        return Expired(f"the API server at {server} has forgotten that version of {what}")
    if code == 401:
        return Unauthorized(f"the API server at {server} does not accept the credentials")
    if code == 403:
        return Forbidden(f"the API server at {server} forbids it: {said}")
    if code == 429 or code >= 500:
        return Unreachable(
            f"the API server at {server} failed with {code}: {said}", retry_after_s=_retry_after_s(error)
        )
    if code == 0:  # the client's way to say that TLS failed
        return Unreachable(f"the API server at {server} cannot be reached: {said}")
    return ClusterError(f"the API server at {server} refused {what} with {code}: {said}")


def _status_object(error: client.ApiException) -> dict[str, Any]:
    try:
        body = json.loads(error.body or "")
    except ValueError:
        return {}
    return body if isinstance(body, dict) and body.get("kind") == "Status" else {}


def _retry_after_s(error: client.ApiException) -> float | None:
    text = str((error.headers or {}).get("Retry-After", ""))
    return float(text) if text.isdigit() else None


def _silence(server: str, error: urllib3.exceptions.HTTPError, timeout_s: float) -> str:
    if isinstance(error, urllib3.exceptions.TimeoutError) and not isinstance(
        error, urllib3.exceptions.NewConnectionError
    ):
        return f"the API server at {server} did not answer within {timeout_s:g} s"
    cause = error.__cause__ or error.__context__
    why = cause.strerror if isinstance(cause, OSError) and cause.strerror else _one_line(error)
    return f"the API server at {server} cannot be reached: {why}"


def _one_line(text: object) -> str:
    return " ".join(str(text).split())
