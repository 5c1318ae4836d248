"""What a write means, apart from storing it: agreement with its path, preconditions, joining.

Promise: plain functions of their arguments; they return the object to store or raise the refusal.
"""

from __future__ import annotations

import copy

import attrs

from . import errors, rules
from .kinds import LEASES, PODS, Kind
from .objects import Object, metadata_of, name_of, revision_of, uid_of

# What a client may send in metadata but only the server decides.
SERVER_OWNED = (
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "resourceVersion",
)


@attrs.frozen
class Deletion:
    """How to delete.

    Args:
        grace_s: Seconds that a pod gets to end; None takes the pod's own.
        uid: Delete only this incarnation.
        resource_version: Delete only this very version.
    """

    grace_s: int | None = None
    uid: str | None = None
    resource_version: str | None = None


def admitted(kind: Kind, namespace: str, body: Object, name: str | None = None) -> Object:
    """Return a copy of the body that agrees with the path it was sent to.

    Raises:
        ApiError: 400 when kind, namespace or name say something else than the path.
    """
    new = copy.deepcopy(body)
    if new.get("kind", kind.name) != kind.name:
        raise errors.bad_request(
            f"the object provided is unrecognized: expected {kind.name}, got {new['kind']}"
        )
    new.update(kind=kind.name, apiVersion=kind.api_version)
    meta = metadata_of(new)
    if not isinstance(meta, dict):
        raise errors.bad_request("metadata must be an object")
    if (meta.get("namespace") or namespace) != namespace:
        raise errors.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    if name is not None and (meta.get("name") or name) != name:
        raise errors.bad_request(
            f"the name of the object ({meta['name']}) does not match the name on the URL ({name})"
        )
    if name is not None:
        meta["name"] = name
    if namespace:
        meta["namespace"] = namespace
    meta.pop("managedFields", None)  # who owns which field is not kept here
    return new


def uid_text(given: str, held: str) -> str:
    """Return the words for an update of another incarnation."""
    return f"Precondition failed: UID in precondition: {given}, UID in object meta: {held}"


def check_update(kind: Kind, old: Object, new: Object) -> None:
    """Raise unless the writer knew the present object.

    Raises:
        ApiError: 409 stale resourceVersion or other UID, 422 a Lease without resourceVersion.
    """
    given, name = revision_of(new), name_of(old)
    if given and not given.isdecimal():
        raise errors.internal(f'strconv.ParseUint: parsing "{given}": invalid syntax')
    if uid_of(new) not in ("", uid_of(old)):
        raise kind.conflict(name, uid_text(uid_of(new), uid_of(old)))
    if given not in ("", "0") and given != revision_of(old):
        raise kind.conflict(name, errors.MODIFIED_TEXT)
    if given in ("", "0") and kind is LEASES:
        text = "Invalid value: 0: must be specified for an update"
        raise kind.invalid(name, ("FieldValueInvalid", "metadata.resourceVersion", text))


def joined(kind: Kind, old: Object, new: Object, subresource: str) -> Object:
    """Return what to store: the client's part of `new` on the server's part of `old`."""
    if subresource == "status":
        result = copy.deepcopy(old)
        result["status"] = new.get("status", {})
        return result
    result = new
    if "status" in kind.subresources:
        result.pop("status", None)
        if "status" in old:
            result["status"] = copy.deepcopy(old["status"])
    meta = metadata_of(result)
    for field in SERVER_OWNED:
        meta.pop(field, None)
        if field in old["metadata"]:
            meta[field] = old["metadata"][field]
    if kind.has_spec and result.get("spec") != old.get("spec"):
        meta["generation"] = old["metadata"].get("generation", 1) + 1
    return result


def check_deletion(kind: Kind, old: Object, how: Deletion) -> None:
    """Raise unless this is the incarnation and version that was to be deleted.

    Raises:
        ApiError: 409.
    """
    if how.uid is not None and how.uid != uid_of(old):
        raise kind.conflict(
            name_of(old),
            f"the UID in the precondition ({how.uid}) does not match the UID in record "
            f"({uid_of(old)}). The object might have been deleted and then recreated",
        )
    if how.resource_version is not None and how.resource_version != revision_of(old):
        raise kind.conflict(
            name_of(old),
            f"the ResourceVersion in the precondition ({how.resource_version}) does not match "
            f"the ResourceVersion in record ({revision_of(old)}). The object might have been "
            "modified",
        )


def grace_s(kind: Kind, old: Object, how: Deletion) -> int:
    """Return the seconds that the object has left; 0 for all but pods that run somewhere."""
    if kind is not PODS or not old["spec"].get("nodeName"):
        return 0
    if old.get("status", {}).get("phase") in ("Succeeded", "Failed"):
        return 0
    if how.grace_s is not None:
        return max(how.grace_s, 0)
    return int(old["spec"].get("terminationGracePeriodSeconds", rules.GRACE_DEFAULT_S))


def is_released(kind: Kind, new: Object) -> bool:
    """Say whether this write takes the last finalizer off an object that waits to go."""
    meta = new["metadata"]
    if "deletionTimestamp" not in meta or meta.get("finalizers"):
        return False
    return kind is not PODS or meta.get("deletionGracePeriodSeconds", 0) == 0
