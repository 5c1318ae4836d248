"""The gateway Lease of this pod, and the reading of all of them.

Promise: what `put` returned from is in the API server, under a resourceVersion that nobody has seen
before (S6). The Lease has no ownerReference: when the pod goes its Lease stays, and the leader
waits it out. What a newcomer gets wrong: readers judge by the resourceVersion (`stamp`) and their
own clock; renewTime is for people.
"""

import math
from collections.abc import Callable
from datetime import datetime

from attrs import evolve

from controller.errors import KubeNotFound, KubeRefused
from statemachine.ids import Seq
from statemachine.observations import GatewayFacts

from .names import FIELD_MANAGER, KubeNames, KubeTimes
from .parsing import gateway_facts_of, gateway_notes, items, micro_time, utc_now, version_of
from .transport import NOT_FOUND, Json, Transport, is_conflict


class KubeGatewayLeases:
    """`GatewayLeases` on an API server. `put` belongs to one task; it keeps the resourceVersion of
    the last answer ("" = there is no Lease, None = never asked)."""

    def __init__(
        self,
        transport: Transport,
        names: KubeNames,
        times: KubeTimes,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._transport, self._names, self._times, self._now = transport, names, times, now
        self._version: str | None = None
        self._earlier = Seq(0)  # what it said when this process found it

    async def put(self, facts: GatewayFacts) -> None:
        """See `GatewayLeases.put`. Somebody else's edit, or a deleted Lease, is written over once.
        What an earlier process acknowledged stays in it until this one acknowledges something: a
        ledger that is gone may have left no other trace (S16).

        Cancellation: the write may have happened; the next one meets its version, and asks.
        """
        if self._version is None:
            self._version = await self._read_version()
        try:
            self._version = await self._write(facts, self._version)
            return
        except (KubeRefused, KubeNotFound) as error:
            if isinstance(error, KubeRefused) and not is_conflict(error):
                raise
        self._version = await self._read_version()
        try:
            self._version = await self._write(facts, self._version)
        except KubeNotFound as error:
            raise KubeRefused(str(error), NOT_FOUND) from error

    async def list_quorum(self) -> tuple[GatewayFacts, ...]:
        """See `GatewayLeases.list_quorum`. Without a resourceVersion the server asks its quorum."""
        found = await self._transport.request(
            "GET",
            self._names.leases_path,
            {"labelSelector": self._names.gateway_selector},
            timeout_s=self._times.request_timeout_s,
        )
        return tuple(gateway_facts_of(self._names, lease) for lease in items(found.get("items")))

    @property
    def _path(self) -> str:
        return f"{self._names.leases_path}/{self._names.gateway_lease}"

    async def _read_version(self) -> str:
        try:
            lease = await self._transport.request(
                "GET", self._path, timeout_s=self._times.confirm_timeout_s
            )
        except KubeNotFound:
            return ""
        self._earlier = gateway_facts_of(self._names, lease).told_seq
        return version_of(lease)

    async def _write(self, facts: GatewayFacts, version: str) -> str:
        """Write over `version` ("" creates); return the new one."""
        earlier = Seq(0) if facts.acked_seq else self._earlier
        body = self._body(evolve(facts, earlier_seq=earlier))
        if version:
            body["metadata"]["resourceVersion"] = version
        written = await self._transport.request(
            "PUT" if version else "POST",
            self._path if version else self._names.leases_path,
            {"fieldManager": FIELD_MANAGER},
            body,
            timeout_s=self._times.confirm_timeout_s,
        )
        return version_of(written)

    def _body(self, facts: GatewayFacts) -> Json:
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": self._names.gateway_lease,
                "namespace": self._names.namespace,
                "labels": self._names.labels("gateway"),
                "annotations": gateway_notes(facts),
            },
            "spec": {
                "holderIdentity": self._names.pod_name,
                "leaseDurationSeconds": max(1, math.ceil(self._times.gateway_lease_s)),
                "renewTime": micro_time(self._now()),
            },
        }
