"""What a client may ask about the server itself: versions, groups, resources, health.

Promise: the documents list exactly the rows of `kinds.KINDS`, so that kubectl of any age finds
each of them by plural, singular, kind and short name.
"""

from __future__ import annotations

from .kinds import KINDS, PODS, SERVICES, STATEFULSETS, Kind
from .objects import Object

VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
STATUS_VERBS = ["get", "patch", "update"]
HEALTH_PATHS = ("/healthz", "/readyz", "/livez")
VERSION: Object = {
    "major": "1",
    "minor": "36",
    "gitVersion": "v1.36.3",
    "gitCommit": "0000000000000000000000000000000000000000",
    "gitTreeState": "sandbox",
    "buildDate": "2026-01-01T00:00:00Z",
    "goVersion": "none",
    "compiler": "none",
    "platform": "sandbox",
}


def document_at(path: str) -> Object | None:
    """Return the document served at this path, or None."""
    match path.strip("/").split("/"):
        case ["version"]:
            return VERSION
        case ["api"]:
            return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
        case ["apis"]:
            groups = [_group(name) for name in _groups()]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
        case ["apis", group] if group in _groups():
            return {"kind": "APIGroup", "apiVersion": "v1", **_group(group)}
        case ["api", "v1"]:
            return _resources("", "v1")
        case ["apis", group, version] if group in _groups():
            return _resources(group, version)
    return None


def _groups() -> list[str]:
    return sorted({kind.group for kind in KINDS if kind.group})


def _group(name: str) -> Object:
    version = {"groupVersion": f"{name}/v1", "version": "v1"}
    return {"name": name, "versions": [version], "preferredVersion": version}


def _resources(group: str, version: str) -> Object | None:
    kinds = [kind for kind in KINDS if (kind.group, kind.version) == (group, version)]
    if not kinds:
        return None
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": kinds[0].api_version,
        "resources": [entry for kind in kinds for entry in _entries(kind)],
    }


def _entries(kind: Kind) -> list[Object]:
    whole: Object = {
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.name,
        "verbs": VERBS,
    }
    if kind.short_names:
        whole["shortNames"] = list(kind.short_names)
    if kind in (PODS, SERVICES, STATEFULSETS):
        whole["categories"] = ["all"]  # kubectl get all
    return [whole, *(_subresource(kind, name) for name in kind.subresources)]


def _subresource(kind: Kind, name: str) -> Object:
    entry: Object = {
        "name": f"{kind.plural}/{name}",
        "singularName": "",
        "namespaced": kind.namespaced,
        "kind": kind.name,
        "verbs": STATUS_VERBS,
    }
    if name == "binding":
        entry.update(kind="Binding", verbs=["create"])
    elif name == "scale":
        entry.update(kind="Scale", group="autoscaling", version="v1")
    elif name == "eviction":
        entry.update(kind="Eviction", verbs=["create"], group="policy", version="v1")
    return entry
