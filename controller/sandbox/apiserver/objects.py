"""JSON objects as Kubernetes sends them, and the few looks into them that every room needs.

Promise: nothing here changes an object it was given, except `metadata_of`, which hands out the
object's own metadata for its owner to fill in.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

# Any: the shape of a Kubernetes object is open; rules.py checks what the stand-in relies on.
Object = dict[str, Any]


def metadata_of(obj: Object) -> Object:
    """Return the object's metadata itself (not a copy), made if it was missing."""
    return cast(Object, obj.setdefault("metadata", {}))


def name_of(obj: Object) -> str:
    """Return metadata.name, or "" without one."""
    return str(obj.get("metadata", {}).get("name", ""))


def namespace_of(obj: Object) -> str:
    """Return metadata.namespace, or "" without one."""
    return str(obj.get("metadata", {}).get("namespace", ""))


def uid_of(obj: Object) -> str:
    """Return metadata.uid, or "" without one."""
    return str(obj.get("metadata", {}).get("uid", ""))


def revision_of(obj: Object) -> str:
    """Return metadata.resourceVersion, or "" without one."""
    return str(obj.get("metadata", {}).get("resourceVersion", ""))


def rfc3339(unix_s: float) -> str:
    """Return a wall-clock time as the API writes it: UTC, whole seconds."""
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def look(obj: Object, path: str) -> object:
    """Return the value at a dotted path, or None if any step is missing."""
    value: object = obj
    for step in path.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(step)
    return value
