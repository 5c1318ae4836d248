"""What is watched for the loop: pods, gateway Leases and the ledger of one release.

Promise: each picture is complete and of this release alone. What a newcomer gets wrong: an instance
pod is known by its name (the StatefulSet's), a controller pod by its component label; any other pod
that carries the release's label is neither. The instances of a StatefulSet with labels of its own
are watched apart, and nothing is shown before both parts are there.
"""

from collections.abc import Awaitable, Callable

import trio
from attrs import field, frozen

from controller.ports import StoredLedger
from statemachine.observations import GatewayFacts, PodFacts

from .informer import Informer, Source
from .names import COMPONENT_LABEL, CONTROLLER_COMPONENT, JITTER, KubeNames, KubeTimes
from .parsing import (
    gateway_facts_of,
    metadata,
    name_of,
    pod_facts_of,
    stored_ledger_of,
    texts,
)
from .split import Halves
from .transport import Json, Transport

Pods = tuple[PodFacts, ...]


@frozen
class _LedgerPicture:
    """A stored ledger that compares by UID and version alone, for its data may be large."""

    uid: str
    version: str
    stored: StoredLedger | None = field(eq=False)


class KubeInformers:
    """`Informers` on an API server. `jitter` is uniform in [0, 1)."""

    def __init__(
        self,
        transport: Transport,
        names: KubeNames,
        times: KubeTimes,
        jitter: Callable[[], float] = JITTER,
    ) -> None:
        self._transport, self._names, self._times = transport, names, times
        self._jitter = jitter

    async def watch_pods(
        self,
        handler: Callable[[Pods, Pods], Awaitable[None]],
        on_trouble: Callable[[str], None],
    ) -> None:
        """See `Informers.watch_pods`."""
        if self._names.instance_selector:
            await self._watch_apart(handler, on_trouble)
            return

        async def show(pods: tuple[Pods, Pods]) -> None:
            await handler(*pods)

        source = self._pods_with(self._names.pod_selector)
        await Informer(
            self._transport, source, self._times, self._sort_pods, show, on_trouble, self._jitter
        ).run()

    async def _watch_apart(
        self,
        handler: Callable[[Pods, Pods], Awaitable[None]],
        on_trouble: Callable[[str], None],
    ) -> None:
        halves = Halves(handler, on_trouble)
        async with trio.open_nursery() as nursery:
            for selector, part in (
                (self._names.instance_selector, halves.first),
                (self._names.controller_selector, halves.second),
            ):
                informer = Informer(
                    self._transport,
                    self._pods_with(selector),
                    self._times,
                    self._sort_pods,
                    part.show,
                    part.trouble,
                    self._jitter,
                )
                nursery.start_soon(informer.run)

    def _pods_with(self, selector: str) -> Source:
        return Source("pods", self._names.pods_path, (("labelSelector", selector),))

    def _sort_pods(self, pods: list[Json]) -> tuple[Pods, Pods]:
        instances, controllers = [], []
        for pod in pods:
            labels = texts(metadata(pod).get("labels"))
            if labels.get(COMPONENT_LABEL) == CONTROLLER_COMPONENT:
                controllers.append(pod_facts_of(pod))
            elif self._names.is_instance_pod(name_of(pod)):
                instances.append(pod_facts_of(pod))
        return tuple(instances), tuple(controllers)

    async def watch_gateways(
        self,
        handler: Callable[[tuple[GatewayFacts, ...]], Awaitable[None]],
        on_trouble: Callable[[str], None],
    ) -> None:
        """See `Informers.watch_gateways`."""

        def parse(leases: list[Json]) -> tuple[GatewayFacts, ...]:
            return tuple(gateway_facts_of(self._names, lease) for lease in leases)

        query = (("labelSelector", self._names.gateway_selector),)
        source = Source("gateway leases", self._names.leases_path, query)
        await Informer(
            self._transport, source, self._times, parse, handler, on_trouble, self._jitter
        ).run()

    async def watch_ledger(
        self,
        handler: Callable[[StoredLedger | None], Awaitable[None]],
        on_trouble: Callable[[str], None],
    ) -> None:
        """See `Informers.watch_ledger`."""

        def parse(found: list[Json]) -> _LedgerPicture:
            if not found:
                return _LedgerPicture("", "", None)
            stored = stored_ledger_of(found[0])
            return _LedgerPicture(stored.uid, stored.resource_version, stored)

        async def show(picture: _LedgerPicture) -> None:
            await handler(picture.stored)

        query = (("fieldSelector", f"metadata.name={self._names.ledger}"),)
        source = Source("ledger", self._names.config_maps_path, query)
        await Informer(
            self._transport, source, self._times, parse, show, on_trouble, self._jitter
        ).run()
