"""A transport that counts what is asked of the API server and what became of it.

Promise: it changes nothing: every answer and every error goes through as it is. Labels are words of
closed lists; names of objects become one of them. What a newcomer gets wrong: a watch is counted
when it is established (or is not), not when it ends.
"""

from collections.abc import Mapping

import trio

from controller.errors import ControllerError, KubeForbidden, KubeNotFound, KubeRefused
from controller.measures import KubeTally

from .names import KubeNames
from .transport import AnswerLost, Json, Transport, Watch, describe, is_conflict

APPEND_OF = {"ok": "written", "lost": "unknown", "not_found": "refused"}
WRITES = frozenset({"create", "update"})


def outcome_of(error: ControllerError) -> str:
    """The label for an answer that was none, or no success."""
    match error:
        case AnswerLost():
            return "lost"
        case KubeForbidden():
            return "forbidden"
        case KubeNotFound():
            return "not_found"
        case KubeRefused():
            return "conflict" if is_conflict(error) else "refused"
        case _:
            return "unavailable"


class CountedTransport:
    """`Transport` around another one."""

    def __init__(self, inner: Transport, names: KubeNames, tally: KubeTally) -> None:
        self._inner, self._names, self._tally = inner, names, tally

    async def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Json | None = None,
        content_type: str = "application/json",
        timeout_s: float = 5.0,
    ) -> Json:
        """See `Transport.request`. A request that was cancelled is not counted."""
        verb, resource = describe(method, path).split(" ", 1)
        what, began_s = self._object_of(resource, query, body), trio.current_time()
        try:
            answer = await self._inner.request(method, path, query, body, content_type, timeout_s)
        except ControllerError as error:
            self._count(verb, what, outcome_of(error), began_s)
            raise
        self._count(verb, what, "ok", began_s)
        return answer

    async def watch(
        self, path: str, query: Mapping[str, str], connect_timeout_s: float, idle_timeout_s: float
    ) -> Watch:
        """See `Transport.watch`."""
        _, resource = describe("GET", path, is_watch=True).split(" ", 1)
        what = self._object_of(resource, query, None)
        try:
            watch = await self._inner.watch(path, query, connect_timeout_s, idle_timeout_s)
        except ControllerError as error:
            self._tally.requests["watch", what, outcome_of(error)] += 1
            raise
        self._tally.requests["watch", what, "ok"] += 1
        return watch

    def _count(self, verb: str, what: str, outcome: str, began_s: float) -> None:
        tally, took_s = self._tally, trio.current_time() - began_s
        tally.requests[verb, what, outcome] += 1
        tally.request_s[verb,].add(took_s)
        if what == "ledger" and verb in WRITES:
            tally.appends[APPEND_OF.get(outcome, outcome)] += 1
            tally.append_s.add(took_s)

    def _object_of(self, resource: str, query: Mapping[str, str] | None, body: Json | None) -> str:
        """The label for what is asked about: by name, or by the name in a selector or a body."""
        plural, _, name = resource.partition("/")
        selected = (query or {}).get("fieldSelector", "")
        name = name or selected.removeprefix("metadata.name=")
        name = name or str(((body or {}).get("metadata") or {}).get("name", ""))
        names = self._names
        match plural:
            case "pods" | "events":
                return plural
            case "leases":
                return "leader_lease" if name == names.leader_lease else "gateway_lease"
            case "configmaps" if name.startswith(f"{names.ledger}-"):
                return "archive"
            case "configmaps":
                known = {names.ledger: "ledger", names.reset: "reset", names.requests: "requests"}
                return known.get(name, "other")
            case _:
                return "other"
