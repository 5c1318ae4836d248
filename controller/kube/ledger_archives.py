"""The archives of the ledger: ConfigMaps that nobody can edit, one for each older segment.

Promise: an archive is created, read or deleted, and never written again; `immutable` makes the API
server refuse an edit, also a person's. What a newcomer gets wrong: immutable does not mean safe:
it may still be deleted and made anew, so readers verify what they read. No ownerReference: deleting
the ledger must not take its past along.
"""

from collections.abc import Mapping

from controller.errors import KubeNotFound, KubeRefused, LedgerConflict, LedgerOutcomeUnknown
from controller.ports import StoredArchive

from .names import FIELD_MANAGER, KubeNames, KubeTimes
from .parsing import stored_archive_of
from .transport import NOT_FOUND, AnswerLost, Transport, is_conflict

ENTRIES_NOTE = "memgraph-controller/entries"  # "385-448", for people with kubectl


class KubeLedgerArchives:
    """`LedgerArchives` on an API server; keeps nothing between calls."""

    def __init__(self, transport: Transport, names: KubeNames, times: KubeTimes) -> None:
        self._transport, self._names, self._times = transport, names, times

    def _path(self, number: int) -> str:
        return f"{self._names.config_maps_path}/{self._names.archive(number)}"

    async def read(self, number: int) -> StoredArchive | None:
        """See `LedgerArchives.read`. Without a resourceVersion the server asks its quorum."""
        try:
            found = await self._transport.request(
                "GET", self._path(number), timeout_s=self._times.request_timeout_s
            )
        except KubeNotFound:
            return None
        return stored_archive_of(found)

    async def create(self, number: int, data: Mapping[str, str]) -> None:
        """See `LedgerArchives.create`."""
        entries = sorted(key for key in data if key.isdecimal())
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": self._names.archive(number),
                "namespace": self._names.namespace,
                "labels": self._names.labels("ledger-archive"),
                "annotations": {ENTRIES_NOTE: f"{int(entries[0])}-{int(entries[-1])}"},
            },
            "immutable": True,
            "data": dict(data),
        }
        query = {"fieldManager": FIELD_MANAGER}
        path, timeout_s = self._names.config_maps_path, self._times.request_timeout_s
        try:
            await self._transport.request("POST", path, query, body, timeout_s=timeout_s)
        except AnswerLost as error:
            raise LedgerOutcomeUnknown(str(error)) from error
        except KubeNotFound as error:  # the namespace is gone
            raise KubeRefused(str(error), NOT_FOUND) from error
        except KubeRefused as error:
            if is_conflict(error):
                raise LedgerConflict(str(error)) from error
            raise

    async def delete(self, number: int) -> None:
        """See `LedgerArchives.delete`."""
        try:
            await self._transport.request(
                "DELETE", self._path(number), timeout_s=self._times.request_timeout_s
            )
        except KubeNotFound:
            return
        except AnswerLost as error:
            raise LedgerOutcomeUnknown(str(error)) from error
