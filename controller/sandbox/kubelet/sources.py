"""The environment of a container: values, fields of the pod, keys of ConfigMaps and Secrets.

Promise: what a container may refer to is read from the API server each time it starts, as a
kubelet does; what is missing and not optional keeps it waiting, with the reason.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..apiserver import CONFIGMAPS, SECRETS, ApiError, Object, name_of, namespace_of, uid_of
from .containers import BadSpec, expanded
from .ports import ClusterApi
from .runtime import NotYet

NOT_FOUND = 404
# (kind of the reference, name) -> its keys; None: there is no such object
Found = Mapping[tuple[str, str], Mapping[str, bytes] | None]
KEY_REFERENCES = {"configMapKeyRef": "ConfigMap", "secretKeyRef": "Secret"}
WHOLE_REFERENCES = {"configMapRef": "ConfigMap", "secretRef": "Secret"}
_ENTRY = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")


def field_of(pod: Object, address: str, path: str) -> str:
    """A field of the pod, as the downward API gives it. Raises BadSpec."""
    if entry := _ENTRY.fullmatch(path):
        return str((pod["metadata"].get(entry[1]) or {}).get(entry[2], ""))
    fields = {
        "metadata.name": name_of(pod),
        "metadata.namespace": namespace_of(pod),
        "metadata.uid": uid_of(pod),
        "status.podIP": address,
        "status.podIPs": address,
        "spec.nodeName": str(pod["spec"].get("nodeName", "")),
        "spec.serviceAccountName": str(pod["spec"].get("serviceAccountName", "")),
    }
    if path not in fields:
        raise BadSpec(f"no such field is known here: {path}")
    return fields[path]


def references(spec: Object) -> set[tuple[str, str]]:
    """The objects that the container's environment needs, as (kind, name)."""
    wanted = set()
    for entry in spec.get("env") or []:
        for word, reference in (entry.get("valueFrom") or {}).items():
            if kind := KEY_REFERENCES.get(word):
                wanted.add((kind, str(reference.get("name", ""))))
    for entry in spec.get("envFrom") or []:
        for word, reference in entry.items():
            if kind := WHOLE_REFERENCES.get(word):
                wanted.add((kind, str(reference.get("name", ""))))
    return wanted


async def read_keys(
    api: ClusterApi, namespace: str, kind: str, name: str
) -> Mapping[str, bytes] | None:
    """The keys of a ConfigMap or Secret; None when there is none.

    Raises NotYet when the API server does not say.
    """
    try:
        found = await api.get(CONFIGMAPS if kind == "ConfigMap" else SECRETS, namespace, name)
    except ApiError as error:
        if error.code == NOT_FOUND:
            return None
        raise NotYet(f"{kind} {name} cannot be read: {error}") from error
    return keys_of(kind, found)


def keys_of(kind: str, found: Object) -> Mapping[str, bytes]:
    """The keys of a ConfigMap or Secret as they were given."""
    plain, binary = found.get("data") or {}, found.get("binaryData") or {}
    if kind == "Secret":
        plain, binary = {}, plain
    texts = {key: str(value).encode() for key, value in plain.items()}
    return {**texts, **{key: base64.b64decode(value) for key, value in binary.items()}}


async def read_references(api: ClusterApi, pod: Object, spec: Object) -> Found:
    """All that the container's environment needs. Raises NotYet."""
    space = namespace_of(pod)
    return {
        (kind, name): await read_keys(api, space, kind, name) for kind, name in references(spec)
    }


def environment(
    pod: Object, spec: Object, address: str, data: Path, found: Found | None = None
) -> dict[str, str]:
    """Return what the pod's specification and the stand-in add to the environment.

    Raises:
        BadSpec: A value comes from where this stand-in cannot look.
        NotYet: An object or a key that is not optional is missing.
    """
    env = {
        "SANDBOX_DATA_DIR": str(data),
        "SANDBOX_POD_IP": address,
        "SANDBOX_POD_NAME": name_of(pod),
        "SANDBOX_POD_UID": uid_of(pod),
    }
    for entry in spec.get("envFrom") or []:
        env |= _whole(entry, found or {})
    for entry in spec.get("env") or []:
        if "valueFrom" not in entry:
            env[entry["name"]] = expanded(str(entry.get("value", "")), env)
            continue
        value = _looked_up(entry, pod, address, found or {})
        if value is not None:
            env[entry["name"]] = value
    return env


def _looked_up(entry: Object, pod: Object, address: str, found: Found) -> str | None:
    """A value from elsewhere; None for an optional one that is not there."""
    source = entry["valueFrom"]
    if path := source.get("fieldRef", {}).get("fieldPath"):
        return field_of(pod, address, path)
    for word, kind in KEY_REFERENCES.items():
        reference: dict[str, Any] = source.get(word) or {}
        if reference.get("name") and reference.get("key"):
            keys = found.get((kind, reference["name"])) or {}
            if reference["key"] in keys:
                return keys[reference["key"]].decode()
            if reference.get("optional"):
                return None
            raise NotYet(f"{kind} {reference['name']} has no key {reference['key']}")
    raise BadSpec(f"env {entry['name']}: cannot read {source}")


def _whole(entry: Object, found: Found) -> dict[str, str]:
    for word, kind in WHOLE_REFERENCES.items():
        if reference := entry.get(word):
            keys = found.get((kind, reference["name"]))
            if keys is None and not reference.get("optional"):
                raise NotYet(f"there is no {kind} {reference['name']}")
            prefix = str(entry.get("prefix", ""))
            return {prefix + key: value.decode() for key, value in (keys or {}).items()}
    raise BadSpec(f"envFrom: cannot read {entry}")
