"""The Table form of objects, which is what `kubectl get` prints.

Promise: only who asks for a Table (`Accept: application/json;as=Table...`) gets one; the columns
of pods, ConfigMaps, Leases and StatefulSets are those of a real server, all else shows NAME and
AGE. Ages are of the moment of the answer.
"""

from __future__ import annotations

import time
from calendar import timegm
from collections.abc import Callable

import attrs

from .http import Request
from .kinds import CONFIGMAPS, LEASES, PODS, STATEFULSETS, Kind
from .objects import Object, look

_AGE_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))
_TWO_UNITS_MAX = 8  # below this many of a unit, kubectl prints the next smaller one too


@attrs.frozen
class Column:
    """One column; priority 1 is shown by `-o wide` only."""

    name: str
    value: Callable[[Object], object]
    type: str = "string"
    priority: int = 0

    def definition(self) -> Object:
        """Return the entry of `columnDefinitions`."""
        return {
            "name": self.name,
            "type": self.type,
            "format": "name" if self.name == "Name" else "",
            "description": "",
            "priority": self.priority,
        }


def age(created: object, now_s: float) -> str:
    """Return how long ago an RFC 3339 time was, in at most two units, as kubectl words it."""
    if not isinstance(created, str):
        return "<unknown>"
    left_s = max(int(now_s - timegm(time.strptime(created, "%Y-%m-%dT%H:%M:%SZ"))), 0)
    for index, (unit, unit_s) in enumerate(_AGE_UNITS):
        count, rest_s = divmod(left_s, unit_s)
        if count == 0 and unit != "s":
            continue
        if count < _TWO_UNITS_MAX and unit != "s":
            smaller, smaller_s = _AGE_UNITS[index + 1]
            if rest := rest_s // smaller_s:
                return f"{count}{unit}{rest}{smaller}"
        return f"{count}{unit}"
    raise AssertionError("seconds always print")


def pod_ready(pod: Object) -> str:
    """Return ready/total containers."""
    statuses = pod.get("status", {}).get("containerStatuses") or []
    total = len(pod.get("spec", {}).get("containers") or [])
    return f"{sum(bool(status.get('ready')) for status in statuses)}/{total}"


def pod_state(pod: Object) -> str:
    """Return the STATUS word: Terminating, the reason a container waits or ended, or the phase."""
    if "deletionTimestamp" in pod["metadata"]:
        return "Terminating"
    for status in pod.get("status", {}).get("containerStatuses") or []:
        for state in ("waiting", "terminated"):
            if reason := look(status, f"state.{state}.reason"):
                return str(reason)
    return str(pod.get("status", {}).get("phase", "Unknown"))


def pod_restarts(pod: Object) -> str:
    """Return how often its containers were started anew."""
    statuses = pod.get("status", {}).get("containerStatuses") or []
    return str(sum(int(status.get("restartCount", 0)) for status in statuses))


def _or_none(path: str) -> Callable[[Object], object]:
    return lambda obj: look(obj, path) or "<none>"


def _data_count(obj: Object) -> int:
    return len(obj.get("data") or {}) + len(obj.get("binaryData") or {})


def _members_ready(obj: Object) -> str:
    return f"{look(obj, 'status.readyReplicas') or 0}/{look(obj, 'spec.replicas')}"


_COLUMNS: dict[Kind, tuple[Column, ...]] = {
    PODS: (
        Column("Ready", pod_ready),
        Column("Status", pod_state),
        Column("Restarts", pod_restarts),
    ),
    CONFIGMAPS: (Column("Data", _data_count, "integer"),),
    LEASES: (Column("Holder", _or_none("spec.holderIdentity")),),
    STATEFULSETS: (Column("Ready", _members_ready),),
}
_WIDE: dict[Kind, tuple[Column, ...]] = {
    PODS: (
        Column("IP", _or_none("status.podIP"), priority=1),
        Column("Node", _or_none("spec.nodeName"), priority=1),
    ),
}


def _columns(kind: Kind) -> tuple[Column, ...]:
    def created(obj: Object) -> str:
        return age(look(obj, "metadata.creationTimestamp"), time.time())

    return (
        Column("Name", lambda obj: look(obj, "metadata.name")),
        *_COLUMNS.get(kind, ()),
        Column("Age", created),
        *_WIDE.get(kind, ()),
    )


def wants_table(request: Request) -> bool:
    """Say whether the client prefers a Table."""
    first = request.headers.get("accept", "").partition(",")[0]
    return "as=Table" in first and "v=v1;" in first + ";"


def rendered(kind: Kind, body: Object, request: Request) -> Object:
    """Return the body as the client asked for it: itself, or as a Table."""
    if request.method != "GET" or not wants_table(request):
        return body
    if body.get("kind") == f"{kind.name}List":
        return _table(kind, body["items"], body["metadata"], request)
    if body.get("kind") == kind.name:
        meta = {"resourceVersion": body["metadata"].get("resourceVersion", "")}
        return _table(kind, [body], meta, request)
    return body


def _table(kind: Kind, objects: list[Object], meta: Object, request: Request) -> Object:
    columns, included = _columns(kind), request.query.get("includeObject", "Metadata")
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": meta,
        "columnDefinitions": [column.definition() for column in columns],
        "rows": [
            {
                "cells": [column.value(obj) for column in columns],
                "object": _included(kind, obj, included),
            }
            for obj in objects
        ],
    }


def _included(kind: Kind, obj: Object, included: str) -> Object | None:
    if included == "None":
        return None
    if included == "Object":
        return {**obj, "kind": kind.name, "apiVersion": kind.api_version}
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": obj["metadata"],
    }
