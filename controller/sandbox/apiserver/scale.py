"""The scale subresource of StatefulSets, which is what `kubectl scale` speaks.

Promise: a Scale is a view of spec.replicas; writing one writes that and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable

from . import errors
from .kinds import Kind
from .objects import Object, look, metadata_of
from .store import Store

_SHOWN = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def view(owner: Object) -> Object:
    """Return the Scale of a StatefulSet."""
    labels = look(owner, "spec.selector.matchLabels")
    terms = labels.items() if isinstance(labels, dict) else ()
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: owner["metadata"][key] for key in _SHOWN},
        "spec": {"replicas": owner["spec"]["replicas"]},
        "status": {
            "replicas": look(owner, "status.replicas") or 0,
            "selector": ",".join(f"{key}={value}" for key, value in sorted(terms)),
        },
    }


def write(
    store: Store, kind: Kind, namespace: str, name: str, apply: Callable[[Object], Object]
) -> Object:
    """Make the Scale what `apply` makes of it, and return it.

    Raises:
        ApiError: 404, 409 stale resourceVersion, 422 for a count that is none.
    """

    def applied(owner: Object) -> Object:
        wanted = apply(view(owner))
        count = look(wanted, "spec.replicas")
        if not isinstance(count, int) or count < 0:
            text = f"Invalid value: {count}: must be greater than or equal to 0"
            raise kind.invalid(name, ("FieldValueInvalid", "spec.replicas", text))
        given = metadata_of(wanted).get("resourceVersion")
        if given not in (None, owner["metadata"]["resourceVersion"]):
            raise kind.conflict(name, errors.MODIFIED_TEXT)
        return {**owner, "spec": {**owner["spec"], "replicas": count}}

    return view(store.patch(kind, namespace, name, applied))
