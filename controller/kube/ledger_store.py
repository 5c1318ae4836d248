"""The ledger's ConfigMap: quorum reads, and writes by compare-and-set alone.

Promise: a write happened (returned), certainly did not (LedgerConflict, KubeUnavailable,
KubeForbidden, KubeRefused), or nobody knows (LedgerOutcomeUnknown); nothing is sent twice in here.
The object has no ownerReference, so that no deletion of anything else takes the history with it.
What a newcomer gets wrong: a ConfigMap PUT without resourceVersion is accepted and overwrites.
"""

from collections.abc import Mapping

from controller.errors import KubeNotFound, KubeRefused, LedgerConflict, LedgerOutcomeUnknown
from controller.ports import StoredLedger

from .names import FIELD_MANAGER, KubeNames, KubeTimes
from .parsing import stored_ledger_of
from .transport import NOT_FOUND, AnswerLost, Json, Transport, is_conflict


class KubeLedgerStore:
    """`LedgerStore` on an API server; keeps nothing between calls."""

    def __init__(self, transport: Transport, names: KubeNames, times: KubeTimes) -> None:
        self._transport, self._names, self._times = transport, names, times

    @property
    def _path(self) -> str:
        return f"{self._names.config_maps_path}/{self._names.ledger}"

    async def read(self) -> StoredLedger | None:
        """See `LedgerStore.read`. Without a resourceVersion the server asks its quorum."""
        try:
            found = await self._transport.request(
                "GET", self._path, timeout_s=self._times.confirm_timeout_s
            )
        except KubeNotFound:
            return None
        return stored_ledger_of(found)

    async def create(self, data: Mapping[str, str], annotations: Mapping[str, str]) -> StoredLedger:
        """See `LedgerStore.create`."""
        body = self._body(data, annotations)
        try:
            return await self._write("POST", self._names.config_maps_path, body)
        except KubeNotFound as error:  # the namespace is gone
            raise KubeRefused(str(error), NOT_FOUND) from error

    async def replace(
        self, base: StoredLedger, data: Mapping[str, str], annotations: Mapping[str, str]
    ) -> StoredLedger:
        """See `LedgerStore.replace`; a ledger that was deleted meanwhile is a conflict too."""
        if not base.resource_version:
            raise ValueError("without a resourceVersion a PUT overwrites whatever is there")
        body = self._body(data, {**base.annotations, **annotations})
        # The UID as well: a ledger that was deleted and made anew is another one.
        body["metadata"] |= {"resourceVersion": base.resource_version, "uid": base.uid}
        # Clears the field bookkeeping, 16 bytes per key and writer; it stays away after once.
        body["metadata"]["managedFields"] = [{}]
        try:
            return await self._write("PUT", self._path, body)
        except KubeNotFound as error:
            raise LedgerConflict(str(error)) from error

    async def _write(self, method: str, path: str, body: Json) -> StoredLedger:
        try:
            written = await self._transport.request(
                method,
                path,
                {"fieldManager": FIELD_MANAGER},
                body,
                timeout_s=self._times.request_timeout_s,
            )
        except AnswerLost as error:
            raise LedgerOutcomeUnknown(str(error)) from error
        except KubeRefused as error:
            if is_conflict(error):
                raise LedgerConflict(str(error)) from error
            raise
        return stored_ledger_of(written)

    def _body(self, data: Mapping[str, str], annotations: Mapping[str, str]) -> Json:
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": self._names.ledger,
                "namespace": self._names.namespace,
                "labels": self._names.labels("ledger"),
                "annotations": dict(annotations),
            },
            "data": dict(data),
        }
