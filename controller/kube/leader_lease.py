"""The leader Lease on the API server: what it says, and writes by compare-and-set.

Promise: nothing is sent twice in here, and no write is made over a version that was not read. What
a newcomer gets wrong: a released Lease still lies there, without a holder.
"""

import math
from collections.abc import Callable
from datetime import datetime

from attrs import evolve, frozen

from controller.errors import KubeNotFound

from .names import FIELD_MANAGER, KubeNames, KubeTimes
from .parsing import mapping, metadata, micro_time, number, text, texts, version_of
from .transport import Json, Transport


@frozen
class Record:
    """The Lease as it was read. `version` "" means that there is none."""

    version: str = ""
    holder: str = ""
    duration_s: float = 0.0
    transitions: int = 0
    acquired: str = ""
    renewed: str = ""
    annotations: tuple[tuple[str, str], ...] = ()

    @property
    def is_free(self) -> bool:
        """Whether nobody holds it: never made, deleted, or released."""
        return not self.holder

    @property
    def claim(self) -> tuple[object, ...]:
        """What only its holder changes: a label that somebody edits prolongs nothing."""
        return (self.holder, self.transitions, self.acquired, self.renewed)


def record_of(lease: Json) -> Record:
    """The Lease's record; odd fields claim nothing but the holder."""
    spec = mapping(lease.get("spec"))
    return Record(
        version=version_of(lease),
        holder=text(spec.get("holderIdentity")),
        duration_s=float(number(spec.get("leaseDurationSeconds"))),
        transitions=number(spec.get("leaseTransitions")),
        acquired=text(spec.get("acquireTime")),
        renewed=text(spec.get("renewTime")),
        annotations=tuple(texts(metadata(lease).get("annotations")).items()),
    )


class LeaderLease:
    """The Lease on the API server: what it says, and writes by compare-and-set."""

    def __init__(
        self, transport: Transport, names: KubeNames, times: KubeTimes, now: Callable[[], datetime]
    ) -> None:
        self._transport, self._names, self._times, self._now = transport, names, times, now

    @property
    def _path(self) -> str:
        return f"{self._names.leases_path}/{self._names.leader_lease}"

    async def read(self) -> Record:
        """What it says now, by a quorum read. Raises as `Transport.request`, but for 404."""
        try:
            return record_of(
                await self._transport.request(
                    "GET", self._path, timeout_s=self._times.lease_request_s
                )
            )
        except KubeNotFound:
            return Record()

    async def take(self, seen: Record, identity: str) -> Record:
        """Become the holder if nobody else wrote since `seen`. Raises as `Transport.request`."""
        now = micro_time(self._now())
        transitions = seen.transitions + 1 if seen.version else 0
        return await self._write(
            evolve(seen, holder=identity, acquired=now, transitions=transitions)
        )

    async def renew(self, held: Record) -> Record:
        """Prolong what is ours. Raises as `Transport.request`."""
        return await self._write(held)

    async def release(self, held: Record) -> Record:
        """Let anybody take it at once. Raises as `Transport.request`."""
        return await self._write(evolve(held, holder=""))

    async def _write(self, record: Record) -> Record:
        is_new = not record.version
        duration_s = self._times.lease_duration_s if record.holder else 1  # 0 is refused
        meta: Json = {
            "name": self._names.leader_lease,
            "namespace": self._names.namespace,
            "labels": self._names.labels("leader"),
            "annotations": dict(record.annotations),
        }
        if not is_new:
            meta["resourceVersion"] = record.version
        written = await self._transport.request(
            "POST" if is_new else "PUT",
            self._names.leases_path if is_new else self._path,
            {"fieldManager": FIELD_MANAGER},
            {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": meta,
                "spec": {
                    "holderIdentity": record.holder,
                    "leaseDurationSeconds": math.ceil(duration_s),
                    "acquireTime": record.acquired or micro_time(self._now()),
                    "renewTime": micro_time(self._now()),
                    "leaseTransitions": record.transitions,
                },
            },
            timeout_s=self._times.lease_request_s,
        )
        return record_of(written)
