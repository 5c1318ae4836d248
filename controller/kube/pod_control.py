"""Ends pods and hands reset tokens to init containers.

Promise: a pod is deleted by name *and* UID, so never a successor; a token is never lowered, and a
withdrawal holds: every change moves the ConfigMap's resourceVersion, even one that finds nothing to
remove, so that an earlier write whose answer was lost cannot land after it (S12, trace F17). What a
newcomer gets wrong: a lost answer is CommandOutcomeUnknown, not "unreachable".
"""

import secrets
from collections.abc import Callable

from controller.errors import CommandOutcomeUnknown, KubeNotFound, KubeRefused
from statemachine.ids import Instance

from .names import FIELD_MANAGER, KubeNames, KubeTimes
from .parsing import metadata, number, texts
from .transport import AnswerLost, Json, Transport, is_conflict

WRITE_ATTEMPTS_MAX = 5  # of a compare-and-set; only the leader writes, so one conflict is rare
RELEASED = ".released"  # behind the instance's name: no instance's name ends so
CHANGE = "memgraph-controller/change"  # annotation that is new with every write


class KubePodControl:
    """`PodControl` on an API server; keeps nothing between calls."""

    def __init__(self, transport: Transport, names: KubeNames, times: KubeTimes) -> None:
        self._transport, self._names, self._times = transport, names, times

    async def delete_pod(self, name: str, uid: str, grace_s: int | None = None) -> None:
        """See `PodControl.delete_pod`.

        Raises:
            CommandOutcomeUnknown: It may have been deleted, or may still be.
            KubeUnavailable, KubeForbidden, KubeRefused: It was not.
        """
        options: Json = {"apiVersion": "v1", "kind": "DeleteOptions"}
        options["preconditions"] = {"uid": uid}
        if grace_s is not None:
            options["gracePeriodSeconds"] = grace_s
        try:
            await self._request("DELETE", f"{self._names.pods_path}/{name}", options)
        except KubeNotFound:
            return
        except KubeRefused as error:
            if not is_conflict(error):
                raise

    async def write_reset_token(self, instance: Instance, token: int) -> None:
        """Afterwards the instance's token is `token`, or was greater already.

        Raises:
            CommandOutcomeUnknown: The answer was lost.
            KubeUnavailable, KubeForbidden, KubeRefused: It was not written.
        """

        def write(tokens: dict[str, str]) -> bool:
            if number(tokens.get(instance)) > token:
                return False
            tokens[instance] = str(token)
            return True

        await self._change(write)

    async def withdraw_reset_token(self, instance: Instance) -> None:
        """Afterwards the instance has no token, whatever was under way. Raises as a write."""

        def withdraw(tokens: dict[str, str]) -> bool:
            tokens.pop(instance, None)
            return True

        await self._change(withdraw)

    async def release_copies(self, instance: Instance, tokens: tuple[int, ...]) -> None:
        """Afterwards these are the released copies of the instance. Raises as a write."""
        key, listed = f"{instance}{RELEASED}", " ".join(map(str, tokens))

        def release(found: dict[str, str]) -> bool:
            is_new = found.get(key) != listed
            found[key] = listed
            return is_new

        await self._change(release)

    async def _change(self, edit: Callable[[dict[str, str]], bool]) -> None:
        for attempt in range(1, WRITE_ATTEMPTS_MAX + 1):
            found = await self._read()
            tokens = texts(found.get("data"))
            if not edit(tokens):
                return
            try:
                await self._write(found, tokens)
                return
            except (KubeRefused, KubeNotFound) as error:
                is_race = isinstance(error, KubeNotFound) or is_conflict(error)
                if not is_race or attempt == WRITE_ATTEMPTS_MAX:
                    raise

    async def _read(self) -> Json:
        try:
            return await self._request("GET", self._path)
        except KubeNotFound:
            return {}

    async def _write(self, found: Json, tokens: dict[str, str]) -> None:
        meta = metadata(found)
        body: Json = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": self._names.reset,
                "namespace": self._names.namespace,
                "labels": self._names.labels("reset"),
                "annotations": {**texts(meta.get("annotations")), CHANGE: secrets.token_hex(8)},
            },
            "data": tokens,
        }
        if not found:
            await self._request("POST", self._names.config_maps_path, body)
            return
        body["metadata"] |= {"resourceVersion": meta.get("resourceVersion"), "uid": meta.get("uid")}
        await self._request("PUT", self._path, body)

    @property
    def _path(self) -> str:
        return f"{self._names.config_maps_path}/{self._names.reset}"

    async def _request(self, method: str, path: str, body: Json | None = None) -> Json:
        query = {"fieldManager": FIELD_MANAGER} if method in ("POST", "PUT") else None
        try:
            return await self._transport.request(
                method, path, query, body, timeout_s=self._times.request_timeout_s
            )
        except AnswerLost as error:
            raise CommandOutcomeUnknown(str(error)) from error
