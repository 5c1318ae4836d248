"""Which addresses a Service has now: for names and for Service addresses alike.

Promise: everything comes from Services and their EndpointSlices as the controller manager writes
them; the pods themselves are not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator

import trio
from attrs import frozen

from ..apiserver import SERVICES, Object, name_of, namespace_of
from ..kubelet.mirror import Mirror
from ..kubelet.ports import ClusterApi
from .kinds import ENDPOINT_SLICES

SERVICE_LABEL = "kubernetes.io/service-name"
NO_ADDRESS = "None"


@frozen
class Port:
    """One port of a Service's address, and what its endpoints' port is called."""

    namespace: str
    service: str
    address: str
    number: int
    name: str


class Directory:
    """Two mirrors and what can be asked of them. `changed` is replaced with every change."""

    def __init__(self, api: ClusterApi) -> None:
        self.changed = trio.Event()
        self._services = Mirror(api, SERVICES, self._touch)
        self._slices = Mirror(api, ENDPOINT_SLICES, self._touch)

    def _touch(self) -> None:
        self.changed.set()
        self.changed = trio.Event()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Follow until cancelled; started once both lists are in."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._services.run)
            await nursery.start(self._slices.run)
            task_status.started()

    def ports(self) -> set[Port]:
        """Every port of every Service that has an address of its own."""
        return {
            Port(namespace_of(s), name_of(s), address, int(p["port"]), str(p.get("name", "")))
            for s in self._services.objects.values()
            if (address := s["spec"].get("clusterIP", "")) not in ("", NO_ADDRESS)
            for p in s["spec"].get("ports") or []
        }

    def upstreams(self, port: Port) -> list[tuple[str, int]]:
        """Address and port of every ready endpoint behind a Service's port."""
        found = []
        for part in self._parts(port.namespace, port.service):
            for entry in part.get("ports") or []:
                if (entry.get("name") or "") == port.name:
                    found += [(a, int(entry["port"])) for a in _addresses(part)]
        return sorted(found)

    def resolve(self, name: str) -> list[str] | None:
        """The addresses of a name within the cluster; None: there is no such name."""
        words = name.lower().rstrip(".").split(".")
        if words[-3:] != ["svc", "cluster", "local"] or len(words) not in (5, 6):
            return None
        service, namespace = words[-5], words[-4]
        found = self._services.objects.get((namespace, service))
        if found is None:
            return None
        host = words[0] if len(words) == 6 else ""
        address = found["spec"].get("clusterIP", "")
        if not host and address not in ("", NO_ADDRESS):
            return [address]
        parts = self._parts(namespace, service)
        addresses = sorted({a for part in parts for a in _addresses(part, host)})
        return addresses or (None if host else [])

    def _parts(self, namespace: str, service: str) -> Iterator[Object]:
        for (space, _), part in self._slices.objects.items():
            labels = part["metadata"].get("labels") or {}
            if space == namespace and labels.get(SERVICE_LABEL) == service:
                yield part


def _addresses(part: Object, host: str = "") -> Iterator[str]:
    """The ready addresses of a slice: all, or those of one host name."""
    for endpoint in part.get("endpoints") or []:
        is_ready = (endpoint.get("conditions") or {}).get("ready") is not False
        if is_ready and host in ("", endpoint.get("hostname")):
            yield from endpoint["addresses"]
