"""A Kubernetes API server in a box, on trio and h11, for pods, ConfigMaps, Leases and their kin.

Promise: what a controller decides by (codes, reasons, resourceVersions, the order and the
gaps of watches) is as on Kubernetes 1.36, shown by one contract suite that runs against both; and
what goes wrong in a real cluster can be made to go wrong here on purpose, for one client or all.
kubectl works with it. It does not authorize (no RBAC), admit, schedule, collect garbage, or track
field managers, and it keeps everything in memory.

Outside of this room, import from here.
"""

from __future__ import annotations

from .changes import Cursor, WatchEvent
from .errors import ApiError
from .faults import Faults, Mode, Rule
from .kinds import (
    CONFIGMAPS,
    EVENTS,
    KINDS,
    LEASES,
    NAMESPACES,
    NODES,
    PODS,
    SECRETS,
    SERVICES,
    STATEFULSETS,
    Kind,
)
from .objects import Object, metadata_of, name_of, namespace_of, revision_of, rfc3339, uid_of
from .selectors import Selector, parse_fields, parse_labels
from .server import serve
from .store import Store
from .updates import Deletion

__all__ = [
    "CONFIGMAPS",
    "EVENTS",
    "KINDS",
    "LEASES",
    "NAMESPACES",
    "NODES",
    "PODS",
    "SECRETS",
    "SERVICES",
    "STATEFULSETS",
    "ApiError",
    "Cursor",
    "Deletion",
    "Faults",
    "Kind",
    "Mode",
    "Object",
    "Rule",
    "Selector",
    "Store",
    "WatchEvent",
    "metadata_of",
    "name_of",
    "namespace_of",
    "parse_fields",
    "parse_labels",
    "revision_of",
    "rfc3339",
    "serve",
    "uid_of",
]
