"""The volumes of pods: directories that are kept true to the objects that they show.

Promise: a claim's directory belongs to that claim's UID and outlives every pod; ConfigMaps,
Secrets, fields of the pod and service account tokens are written file by file, each replaced as a
whole, and written again when they change. Tokens are asked for from the API server, bound to the
pod, and replaced long before they end.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import attrs
import trio

from ..apiserver import ApiError, Object, name_of, namespace_of, uid_of
from ..kubelet import sources
from ..kubelet.containers import BadSpec
from ..kubelet.runtime import NotYet
from .http_api import HttpApi
from .kinds import CLAIMS

TOKEN_LIFE_S = 3600  # Kubernetes' own default
TOKEN_SHARE = 0.8  # of its life; then a kubelet asks for the next one
FILE_MODE = 0o644
DIRECTORY_MODE = 0o755
CLAIM_MODE = 0o2775  # files in it belong to the pod's fsGroup
EMPTY_MODE = 0o777


@attrs.define(eq=False)
class Token:
    """A service account token as it is in the volume. `until_s` is monotonic."""

    text: bytes
    until_s: float


@attrs.define(eq=False)
class PodVolumes:
    """The volumes of one pod incarnation."""

    pod: Object
    address: str
    directory: Path
    paths: dict[str, Path] = attrs.field(factory=dict)
    tokens: dict[str, Token] = attrs.field(factory=dict)


class Volumes:
    """Makes and refreshes them.

    Args:
        root: `claims/` of it outlives pods.
        token_period_s: Tokens are replaced at least so often.
        owner: Whether this process may give files to others (it is root).
    """

    def __init__(self, api: HttpApi, root: Path, token_period_s: float, *, owner: bool) -> None:
        self._api, self._root, self._owner = api, root, owner
        self._token_period_s = token_period_s

    async def prepare(self, volumes: PodVolumes) -> None:
        """Every volume has its directory, filled. Raises NotYet, BadSpec."""
        for spec in volumes.pod["spec"].get("volumes") or []:
            volumes.paths[spec["name"]] = await self._path_of(volumes, spec)
        await self.refresh(volumes)

    async def refresh(self, volumes: PodVolumes) -> None:
        """What shows objects shows them as they are now. Raises NotYet."""
        for spec in volumes.pod["spec"].get("volumes") or []:
            files = await self._files_of(volumes, spec)
            if files is not None:
                mode = int(self._source_of(spec).get("defaultMode", FILE_MODE))
                write_files(volumes.paths[spec["name"]], files, mode)

    async def _path_of(self, volumes: PodVolumes, spec: Object) -> Path:
        if "persistentVolumeClaim" in spec:
            return await self._claim(volumes, spec["persistentVolumeClaim"]["claimName"])
        path: Path = volumes.directory / str(spec["name"])
        _make(path, EMPTY_MODE if "emptyDir" in spec else DIRECTORY_MODE)
        if "emptyDir" not in spec and not self._source_of(spec):
            raise BadSpec(f"volume {spec['name']}: this sort is not known here: {sorted(spec)}")
        return path

    def _source_of(self, spec: Object) -> Object:
        for word in ("configMap", "secret", "projected", "downwardAPI"):
            if word in spec:
                found: Object = spec[word]
                return found or {"items": []}
        return {}

    async def _claim(self, volumes: PodVolumes, name: str) -> Path:
        namespace = namespace_of(volumes.pod)
        try:
            claim = await self._api.get(CLAIMS, namespace, name)
            if claim.get("status", {}).get("phase") != "Bound":
                status = {
                    "phase": "Bound",
                    "accessModes": claim["spec"].get("accessModes"),
                    "capacity": claim["spec"].get("resources", {}).get("requests"),
                }
                await self._api.write_status(CLAIMS, claim, status)
        except ApiError as error:
            raise NotYet(f"claim {name}: {error}") from error
        path = self._root / "claims" / uid_of(claim)
        group = volumes.pod["spec"].get("securityContext", {}).get("fsGroup")
        _make(path, CLAIM_MODE, int(group) if group is not None and self._owner else -1)
        return path

    # -- contents

    async def _files_of(self, volumes: PodVolumes, spec: Object) -> Mapping[str, bytes] | None:
        """File name -> content; None for volumes that show no objects."""
        if "configMap" in spec:
            return await self._object_files(volumes, "ConfigMap", spec["configMap"])
        if "secret" in spec:
            named = {**spec["secret"], "name": spec["secret"]["secretName"]}
            return await self._object_files(volumes, "Secret", named)
        if "downwardAPI" in spec:
            return self._field_files(volumes, spec["downwardAPI"])
        if "projected" not in spec:
            return None
        files: dict[str, bytes] = {}
        for source in spec["projected"].get("sources") or []:
            files |= await self._projected(volumes, source)
        return files

    async def _projected(self, volumes: PodVolumes, source: Object) -> Mapping[str, bytes]:
        if "serviceAccountToken" in source:
            wanted = source["serviceAccountToken"]
            return {wanted["path"]: await self._token(volumes, wanted)}
        if "configMap" in source:
            return await self._object_files(volumes, "ConfigMap", source["configMap"])
        if "secret" in source:
            return await self._object_files(volumes, "Secret", source["secret"])
        if "downwardAPI" in source:
            return self._field_files(volumes, source["downwardAPI"])
        raise BadSpec(f"projected volume: this source is not known here: {sorted(source)}")

    async def _object_files(
        self, volumes: PodVolumes, kind: str, source: Object
    ) -> Mapping[str, bytes]:
        space = namespace_of(volumes.pod)
        keys = await sources.read_keys(self._api, space, kind, source["name"])
        if keys is None:
            if source.get("optional"):
                return {}
            raise NotYet(f"there is no {kind} {source['name']}")
        if items := source.get("items"):
            return {item["path"]: keys[item["key"]] for item in items if item["key"] in keys}
        return keys

    def _field_files(self, volumes: PodVolumes, source: Object) -> Mapping[str, bytes]:
        files = {}
        for item in source.get("items") or []:
            path = item.get("fieldRef", {}).get("fieldPath", "")
            files[item["path"]] = sources.field_of(volumes.pod, volumes.address, path).encode()
        return files

    async def _token(self, volumes: PodVolumes, wanted: Object) -> bytes:
        """The token of the moment; a new one is asked for when it is time."""
        key, now_s = wanted["path"], trio.current_time()
        present = volumes.tokens.get(key)
        if present is not None and now_s < present.until_s:
            return present.text
        try:
            text, life_s = await self._ask_token(volumes.pod, wanted)
        except ApiError as error:
            if present is not None:
                return present.text  # it has a fifth of its life left
            raise NotYet(f"no service account token: {error}") from error
        until_s = now_s + min(life_s * TOKEN_SHARE, self._token_period_s)
        volumes.tokens[key] = Token(text, until_s)
        return text

    async def _ask_token(self, pod: Object, wanted: Object) -> tuple[bytes, float]:
        account = pod["spec"].get("serviceAccountName") or "default"
        audience = wanted.get("audience")
        bound = {"kind": "Pod", "apiVersion": "v1", "name": name_of(pod), "uid": uid_of(pod)}
        spec: Object = {
            "audiences": [audience] if audience else None,
            "expirationSeconds": wanted.get("expirationSeconds", TOKEN_LIFE_S),
            "boundObjectRef": bound,
        }
        path = f"/api/v1/namespaces/{namespace_of(pod)}/serviceaccounts/{account}/token"
        kind = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}
        made = await self._api.request("POST", path, {**kind, "spec": spec})
        ends = datetime.fromisoformat(made["status"]["expirationTimestamp"])
        begins = datetime.fromisoformat(made["metadata"]["creationTimestamp"])
        return made["status"]["token"].encode(), (ends - begins).total_seconds()


def _make(path: Path, mode: int, group: int = -1) -> None:
    """The directory is there; whatever it was before, it stays."""
    if not path.exists():
        path.mkdir(parents=True)
        os.chown(path, -1, group)
        path.chmod(mode)


def write_files(directory: Path, files: Mapping[str, bytes], mode: int) -> None:
    """The directory has exactly these files; each is replaced whole, and only if it differs."""
    for name, content in files.items():
        path = directory / name
        if path.exists() and path.read_bytes() == content:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.new")
        fresh.write_bytes(content)
        fresh.chmod(mode)
        fresh.rename(path)
    for path in directory.iterdir():
        if path.is_file() and path.name not in files:
            path.unlink()


def remove(volumes: PodVolumes) -> None:
    """The directories of the pod are gone; those of claims stay."""
    shutil.rmtree(volumes.directory, ignore_errors=True)
