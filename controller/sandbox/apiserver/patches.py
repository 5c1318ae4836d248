"""JSON patch (RFC 6902), merge patch (RFC 7386) and as much strategic merge as status needs.

Promise: the object given is never changed; a patch that cannot be applied is refused with the
code of a real API server. Seen there: a failed `test` or a `remove` of a missing key is 422
without detail, and `replace` of a missing key adds it.
"""

from __future__ import annotations

import copy
import json
from typing import Any

from . import errors
from .errors import ApiError
from .objects import Object

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
PATCH_TYPES = (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH)

# Lists that a strategic merge joins by a key instead of replacing; the ones our writers use.
_MERGE_KEYS = {
    "conditions": "type",
    "containers": "name",
    "env": "name",
    "volumes": "name",
    "podIPs": "ip",
}


def apply_patch(content_type: str, obj: Object, body: bytes) -> Object:
    """Return the object as the patch would have it.

    Raises:
        ApiError: 400 unreadable, 415 unknown form, 422 not applicable.
    """
    if content_type not in PATCH_TYPES:
        raise errors.unsupported_media_type(content_type, PATCH_TYPES)
    try:
        patch = json.loads(body)
    except ValueError as error:
        raise errors.bad_request(f"error decoding patch: {error}") from error
    if content_type == JSON_PATCH:
        return _json_patch(obj, patch)
    if not isinstance(patch, dict):
        raise errors.bad_request("error decoding patch: not an object")
    merged: Object = _merge(obj, patch, strategic=content_type == STRATEGIC_PATCH)
    return merged


# Any in this file: a patch may hold any JSON value at any depth.
def _merge(target: Any, patch: Any, *, strategic: bool) -> Any:
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if strategic and key.startswith("$"):
            continue  # directives such as $setElementOrder: order is not kept here
        if value is None:
            result.pop(key, None)
        elif strategic and key in _MERGE_KEYS and isinstance(value, list):
            result[key] = _merge_list(result.get(key) or [], value, _MERGE_KEYS[key])
        else:
            result[key] = _merge(result.get(key), value, strategic=strategic)
    return result


def _merge_list(target: list[Any], patch: list[Any], key: str) -> list[Any]:
    merged = {item.get(key): item for item in target}
    for item in patch:
        if item.get("$patch") == "delete":
            merged.pop(item.get(key), None)
        else:
            merged[item.get(key)] = _merge(merged.get(item.get(key)), item, strategic=True)
    return list(merged.values())


def _refused() -> ApiError:
    return ApiError(
        422, "Invalid", "the server rejected our request due to an error in our request"
    )


def _json_patch(obj: Object, patch: Any) -> Object:
    if not isinstance(patch, list):
        raise errors.bad_request("error decoding patch: json patch must be a list")
    result = copy.deepcopy(obj)
    for step in patch:
        try:
            result = _json_step(result, step)
        except (LookupError, TypeError, AttributeError, ValueError) as error:
            raise _refused() from error
    return result


def _steps(pointer: str) -> list[str]:
    if not pointer.startswith("/"):
        raise ValueError(pointer)
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer[1:].split("/")]


def _at(document: Any, steps: list[str]) -> Any:
    for step in steps:
        document = document[int(step)] if isinstance(document, list) else document[step]
    return document


def _json_step(document: Object, step: Any) -> Object:
    """Apply one operation; any exception of a lookup means that it is not applicable."""
    operation, steps = step["op"], _steps(step["path"])
    if operation == "test":
        if _at(document, steps) != step.get("value"):
            raise ValueError("test failed")
        return document
    if operation in ("move", "copy"):
        value = copy.deepcopy(_at(document, _steps(step["from"])))
        if operation == "move":
            _remove(document, _steps(step["from"]))
        _put(document, steps, value, insert=True)
    elif operation == "remove":
        _remove(document, steps)
    elif operation in ("add", "replace"):
        _put(document, steps, copy.deepcopy(step["value"]), insert=operation == "add")
    else:
        raise ValueError(operation)
    return document


def _remove(document: Any, steps: list[str]) -> None:
    parent, last = _at(document, steps[:-1]), steps[-1]
    del parent[int(last) if isinstance(parent, list) else last]


def _put(document: Any, steps: list[str], value: Any, *, insert: bool) -> None:
    parent, last = _at(document, steps[:-1]), steps[-1]
    if not isinstance(parent, list):
        parent[last] = value
    elif last == "-":
        parent.append(value)
    elif insert:
        parent.insert(int(last), value)
    else:
        parent[int(last)] = value
