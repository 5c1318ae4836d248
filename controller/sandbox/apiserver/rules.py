"""What an object must satisfy before it is stored, per kind, and the defaults it is given.

Promise: `check` raises the refusal of a real API server for the rules that a controller can run
into, and for nothing else. Everything here is a plain function of its arguments.
Source: facts measured on Kubernetes 1.36.3.
"""

from __future__ import annotations

import re

from . import errors
from .kinds import CONFIGMAPS, LEASES, NAMESPACES, PODS, SECRETS, SERVICES, STATEFULSETS, Kind
from .objects import Object, metadata_of, name_of

VALUES_BYTES_MAX = 1_048_576  # sum of the values of a ConfigMap or Secret; keys are not counted
NAME_LENGTH_MAX = 253
GRACE_DEFAULT_S = 30  # terminationGracePeriodSeconds when the pod says nothing

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_DATA_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
_MICRO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)")
_NAME_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, "
    "'-' or '.', and must start and end with an alphanumeric character"
)


def check(kind: Kind, new: Object, old: Object | None) -> None:
    """Raise unless `new` may be stored in place of `old` (None: it is created).

    Raises:
        ApiError: 422 for a broken rule, 400 for a value of the wrong type.
    """
    name = name_of(new)
    if len(name) > NAME_LENGTH_MAX or not _NAME.fullmatch(name):
        raise kind.invalid(
            name, ("FieldValueInvalid", "metadata.name", f'Invalid value: "{name}": {_NAME_TEXT}')
        )
    for field in ("labels", "annotations"):
        _check_strings(kind, new["metadata"].get(field), f"metadata.{field}")
    if kind in (CONFIGMAPS, SECRETS):
        _check_data(kind, new)
        if old is not None:
            _check_immutable(kind, new, old)
    elif kind is LEASES:
        _check_lease(new)
    elif kind is PODS:
        _check_pod(new, old)


def _check_strings(kind: Kind, mapping: object, field: str) -> None:
    if mapping is None:
        return
    if not isinstance(mapping, dict):
        raise errors.bad_request(f"{kind.name} in version {kind.version!r}: {field} is no map")
    for key, value in mapping.items():
        if not isinstance(value, str):
            raise errors.bad_request(
                f"{kind.name} in version {kind.version!r} cannot be handled as a {kind.name}: "
                f"json: cannot unmarshal {type(value).__name__} into Go struct field "
                f"{field}.{key} of type string"
            )


def _check_data(kind: Kind, new: Object) -> None:
    name, size_bytes = name_of(new), 0
    for field in ("data", "binaryData"):
        _check_strings(kind, new.get(field), field)
        for key, value in (new.get(field) or {}).items():
            if not _DATA_KEY.fullmatch(key):
                text = (
                    f'Invalid value: "{key}": a valid config key must consist of alphanumeric '
                    "characters, '-', '_' or '.'"
                )
                raise kind.invalid(name, ("FieldValueInvalid", f"{field}[{key}]", text))
            size_bytes += len(value.encode())
    if size_bytes > VALUES_BYTES_MAX:
        text = f"Too long: may not be more than {VALUES_BYTES_MAX} bytes"
        raise kind.invalid(name, ("FieldValueTooLong", "data" if kind is SECRETS else "", text))


def _check_immutable(kind: Kind, new: Object, old: Object) -> None:
    if not old.get("immutable"):
        return
    for field in ("immutable", "data", "binaryData"):
        if (new.get(field) or None) != (old.get(field) or None):
            text = "Forbidden: field is immutable when `immutable` is set"
            raise kind.invalid(name_of(new), ("FieldValueForbidden", field, text))


def _check_lease(new: Object) -> None:
    spec, name = new.get("spec") or {}, name_of(new)
    duration_s = spec.get("leaseDurationSeconds")
    if duration_s is not None and duration_s <= 0:
        text = f"Invalid value: {duration_s}: must be greater than 0"
        raise LEASES.invalid(name, ("FieldValueInvalid", "spec.leaseDurationSeconds", text))
    transitions = spec.get("leaseTransitions")
    if transitions is not None and transitions < 0:
        text = f"Invalid value: {transitions}: must be greater than or equal to 0"
        raise LEASES.invalid(name, ("FieldValueInvalid", "spec.leaseTransitions", text))
    for field in ("acquireTime", "renewTime"):
        value = spec.get(field)
        if value is not None and not (isinstance(value, str) and _MICRO_TIME.fullmatch(value)):
            raise errors.bad_request(
                f"Lease in version 'v1' cannot be handled as a Lease: parsing time {value!r} "
                f'as "2006-01-02T15:04:05.000000Z07:00": cannot parse (spec.{field})'
            )


def _check_pod(new: Object, old: Object | None) -> None:
    spec, name = new.get("spec") or {}, name_of(new)
    if not spec.get("containers"):
        raise PODS.invalid(name, ("FieldValueRequired", "spec.containers", "Required value"))
    if old is not None and _frozen_spec(spec) != _frozen_spec(old["spec"]):
        text = "Forbidden: pod updates may not change fields other than the images of containers"
        raise PODS.invalid(name, ("FieldValueForbidden", "spec", text))


def _frozen_spec(spec: Object) -> Object:
    """Return the part of a pod's spec that an update must leave alone."""
    fixed = {
        key: value
        for key, value in spec.items()
        if key not in ("tolerations", "activeDeadlineSeconds", "terminationGracePeriodSeconds")
    }
    for field in ("containers", "initContainers"):
        boxes = spec.get(field) or []
        fixed[field] = [{k: v for k, v in box.items() if k != "image"} for box in boxes]
    return fixed


def set_defaults(kind: Kind, obj: Object) -> None:
    """Fill in what the server fills in at creation."""
    if kind is PODS:
        spec = obj.setdefault("spec", {})
        spec.setdefault("restartPolicy", "Always")
        spec.setdefault("terminationGracePeriodSeconds", GRACE_DEFAULT_S)
        obj["status"] = {"phase": "Pending", "qosClass": "BestEffort"}
    elif kind is STATEFULSETS:
        spec = obj.setdefault("spec", {})
        spec.setdefault("replicas", 1)
        spec.setdefault("podManagementPolicy", "OrderedReady")
        strategy = spec.setdefault("updateStrategy", {})
        if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
            strategy.setdefault("rollingUpdate", {}).setdefault("partition", 0)
        obj["status"] = {"replicas": 0}
    elif kind is NAMESPACES:
        obj["status"] = {"phase": "Active"}
        labels = metadata_of(obj).setdefault("labels", {})
        labels.setdefault("kubernetes.io/metadata.name", name_of(obj))
    elif kind is SERVICES:
        obj.setdefault("status", {"loadBalancer": {}})
    elif kind is SECRETS:
        obj.setdefault("type", "Opaque")
