"""From a method and a path to what is asked for, in RBAC words.

Promise: a `Call` names a verb that the resource has; a path of no resource is None; a wrong method
is refused with 405.
"""

from __future__ import annotations

from . import errors
from .faults import Call
from .http import Request
from .kinds import NAMESPACES, Kind, kind_at

_COLLECTION_VERBS = {"GET": "list", "POST": "create", "DELETE": "deletecollection"}
_OBJECT_VERBS = {"GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_STATUS_VERBS = {"GET": "get", "PUT": "update", "PATCH": "patch"}
_TRUE = ("1", "true", "True")


def is_set(request: Request, flag: str) -> bool:
    """Say whether a boolean query parameter is on."""
    return request.query.get(flag, "") in _TRUE


def parse_call(request: Request, client: str) -> Call | None:
    """Return what the request asks for, or None when its path is of no resource.

    Raises:
        ApiError: 405 when the resource does not have this method.
    """
    match [part for part in request.path.split("/") if part]:
        case ["api", version, *rest]:
            group = ""
        case ["apis", group, version, *rest]:
            pass
        case _:
            return None
    namespace = ""
    if len(rest) >= 3 and rest[0] == "namespaces" and kind_at(group, version, rest[2]):
        namespace, rest = rest[1], rest[2:]
    if not rest or (kind := kind_at(group, version, rest[0])) is None:
        return None
    if len(rest) > 3 or (namespace and not kind.namespaced):
        return None
    name = rest[1] if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) > 2 else ""
    if subresource and subresource not in kind.subresources:
        return None
    if name and kind.namespaced and not namespace:
        return None
    verb = _verb(request, kind, namespace, name, subresource)
    return Call(client, verb, kind, namespace, name, subresource)


def _verb(request: Request, kind: Kind, namespace: str, name: str, subresource: str) -> str:
    if subresource in ("binding", "eviction"):
        verbs = {"POST": "create"}
    elif subresource:
        verbs = _STATUS_VERBS
    else:
        verbs = _OBJECT_VERBS if name else _COLLECTION_VERBS
    verb = verbs.get(request.method)
    across_namespaces = kind.namespaced and not namespace and kind is not NAMESPACES
    if verb is None or (across_namespaces and verb != "list"):
        raise errors.method_not_allowed()
    if verb == "list" and is_set(request, "watch"):
        return "watch"
    return verb
