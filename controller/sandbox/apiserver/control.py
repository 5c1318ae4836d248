"""The sandbox's own endpoint: faults by HTTP.

    GET  /sandbox/faults                                   what is on
    POST /sandbox/faults {"kind": "down", "token": "..."}  switch something

Kinds: down, up, freeze, unfreeze, partition, cut, fail, lose_reply, latency, compact, clear.
`token` (or `user`, its name) limits a fault to one client. fail: status, retry_after (s), count,
verb, resource. lose_reply: count, verb, resource. latency: seconds, count, verb, resource.

Promise: a fault that cannot be understood is refused with 400 and changes nothing; a misspelt
client would otherwise be a rehearsal in which nothing happens.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from . import errors
from .faults import EVERYBODY, Faults, Mode, Rule
from .http import Request
from .objects import Object
from .store import Store

PREFIX = "/sandbox/"
_MODES = {
    "down": Mode.DOWN,
    "up": Mode.OPEN,
    "freeze": Mode.FROZEN,
    "unfreeze": Mode.OPEN,
    "partition": Mode.PARTITIONED,
}
_RULES = ("fail", "lose_reply", "latency")
_FIELDS = frozenset(
    {
        "kind",
        "token",
        "user",
        "status",
        "retry_after",
        "count",
        "verb",
        "resource",
        "seconds",
    }
)


def answer(
    faults: Faults, store: Store, tokens: Mapping[str, str], request: Request
) -> tuple[int, Object]:
    """Do what is asked; return the code and what is on afterwards.

    Raises:
        ApiError: 400, 404, 405.
    """
    if request.path != PREFIX + "faults":
        raise errors.page_not_found()
    if request.method == "GET":
        return 200, faults.as_json()
    if request.method != "POST":
        raise errors.method_not_allowed()
    try:
        body = json.loads(request.body)
    except ValueError as error:
        raise errors.bad_request(f"no JSON: {error}") from error
    if not isinstance(body, dict) or (unknown := set(body) - _FIELDS):
        raise errors.bad_request(
            f"not understood: {body if not isinstance(body, dict) else unknown}"
        )
    switch(faults, store, tokens, body)
    return 200, faults.as_json()


def switch(faults: Faults, store: Store, tokens: Mapping[str, str], body: Object) -> None:
    """Switch one fault.

    Raises:
        ApiError: 400, nothing has changed.
    """
    kind, client = body.get("kind"), _client(tokens, body)
    if kind in _MODES:
        faults.set_mode(_MODES[str(kind)], client)
    elif kind == "cut":
        faults.cut(client)
    elif kind == "compact":
        store.compact()
    elif kind == "clear":
        faults.clear()
    elif kind in _RULES:
        faults.add(_rule(str(kind), client, body))
    else:
        raise errors.bad_request(f"unknown kind of fault: {kind!r}")


def _client(tokens: Mapping[str, str], body: Object) -> str:
    token, user = body.get("token"), body.get("user")
    if token is not None:
        if token not in tokens:
            raise errors.bad_request("no client has this token")
        return tokens[token]
    if user is not None and tokens and user not in tokens.values():
        raise errors.bad_request(f"no client is called {user!r}")
    return str(user) if user is not None else EVERYBODY


def _rule(kind: str, client: str, body: Object) -> Rule:
    count = body.get("count", None if kind == "latency" else 1)
    try:
        return Rule(
            kind,
            client=client,
            verb=str(body.get("verb", "")),
            resource=str(body.get("resource", "")),
            count=None if count is None else int(count),
            status=int(body.get("status", 500)),
            retry_after_s=None if body.get("retry_after") is None else int(body["retry_after"]),
            latency_s=float(body.get("seconds", 0.0)),
        )
    except (TypeError, ValueError) as error:
        raise errors.bad_request(f"not a number: {error}") from error
