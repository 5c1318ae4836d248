"""What the rest of this room needs of an HTTP client, and what became of a request that failed.

Promise: one table (`refusal_of`) turns an answer of the API server into an error of
`controller.errors`; the client module turns its own exceptions into the same ones. What a newcomer
gets wrong: 5xx to a write is not "no"; it may have been done, or may still be.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from controller.errors import (
    ControllerError,
    KubeForbidden,
    KubeNotFound,
    KubeRefused,
    KubeUnavailable,
    WatchExpired,
)

Json = dict[str, Any]  # objects of the API as they come: their shape is checked where it is used
WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
CONFLICT, NOT_FOUND, EXPIRED = 409, 404, 410
RETRY_AFTER_MAX_S = 60.0  # no server may silence us for longer
_VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


class AnswerLost(KubeUnavailable):
    """A write was sent, or may have been, and its answer did not come: done, undone, or still to be
    done. Adapters that have a better name for it translate it; for others it is unavailability."""


class Watch(Protocol):
    """One established watch. Iteration ends when the server ends the stream properly."""

    async def __anext__(self) -> Json:
        """The next event, {"type": ..., "object": ...}.

        Raises:
            WatchExpired: List again.
            KubeUnavailable: The stream was cut, or silent for too long. List again after a pause.
            KubeForbidden, KubeRefused: An ERROR event said so.
        """

    async def aclose(self) -> None:
        """Let the connection go; may be called at any time, and more than once."""


class Transport(Protocol):
    """Requests to one API server, as one user."""

    async def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Json | None = None,
        content_type: str = "application/json",
        timeout_s: float = 5.0,
    ) -> Json:
        """The answer's body.

        Raises:
            KubeUnavailable: No answer, 5xx, 429; for a write: it was certainly not carried out.
            AnswerLost: The same for a write that may have been carried out.
            KubeForbidden, KubeNotFound, KubeRefused (409 too): By `refusal_of`.

        Cancellation: a write that was under way may be carried out.
        """

    async def watch(
        self, path: str, query: Mapping[str, str], connect_timeout_s: float, idle_timeout_s: float
    ) -> Watch:
        """An established watch; the caller closes it. `idle_timeout_s`: silence that ends it.

        Raises:
            As `request` for a read, and WatchExpired.
        """


def refusal_of(
    status: int, text: str, what: str, *, is_write: bool, retry_after: str | None = None
) -> ControllerError:
    """The error for an answer that is no success.

    Args:
        status: Its code.
        text: The server's own words.
        what: What was asked for, "update configmaps/x".
        is_write: Whether the request was to change something.
        retry_after: The header of this name, if there was one.
    """
    message = f"{what}: {status} {text}"
    match status:
        case 401 | 403:
            return KubeForbidden(message)
        case 404:
            return KubeNotFound(message)
        case 410:
            return WatchExpired(message)
        case 429:
            return KubeUnavailable(message, retry_after_s(retry_after))
        case _ if status >= 500:
            kind = AnswerLost if is_write else KubeUnavailable
            return kind(message, retry_after_s(retry_after))
    return KubeRefused(message, status)


def retry_after_s(header: str | None) -> float | None:
    """Seconds that the server wishes us to wait; None without a (readable) wish. Dates are not
    sent by API servers and are not read."""
    try:
        asked = float(header or "")
    except ValueError:
        return None
    return min(asked, RETRY_AFTER_MAX_S) if asked > 0 else None


def describe(method: str, path: str, *, is_watch: bool = False) -> str:
    """What a request asks for, in the words of RBAC: "update configmaps/mg-ledger"."""
    parts = path.strip("/").split("/")
    rest = parts[parts.index("namespaces") + 2 :] if "namespaces" in parts else parts[-1:]
    verb = _VERBS.get(method, method.lower())
    if method == "GET" and len(rest) == 1:
        verb = "watch" if is_watch else "list"
    return f"{verb} {'/'.join(rest)}"


def is_conflict(error: KubeRefused) -> bool:
    """Whether another writer was first, or the name is taken."""
    return error.status == CONFLICT
