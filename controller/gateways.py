"""The gateways of one pod as one thing, each of which settings may switch off."""

from collections.abc import Mapping

import trio
from attrs import frozen

from gateway import Counters, Gateway, Kind, Limits, Route, Upstream

__all__ = ["Gateways", "Kind", "Wish"]


@frozen
class Wish:
    """A gateway dialled sessions to this upstream: they wait until it answers on the verifier's
    kept connection."""

    kind: Kind
    upstream: Upstream


class Gateways:
    """Owned by the composition root; the gatekeeper commands it."""

    def __init__(self, kinds: Mapping[Kind, Limits]) -> None:
        self._wishes: dict[Wish, None] = {}
        self._wished = trio.Event()
        self.listening: dict[str, str] = {}  # kind -> "host:port", once it is bound
        self.by_kind: dict[Kind, Gateway] = {
            kind: self._make(kind, limits) for kind, limits in kinds.items()
        }

    def _make(self, kind: Kind, limits: Limits) -> Gateway:
        def wish(upstream: Upstream) -> None:
            self._wishes[Wish(kind, upstream)] = None
            self._wished.set()

        return Gateway(kind, limits, need_confirmation=wish)

    def apply(self, kind: Kind, route: Route) -> int:
        """As Gateway.apply; a gateway that is switched off has nothing to cut."""
        gateway = self.by_kind.get(kind)
        return gateway.apply(route) if gateway else 0

    def serve_until(self, deadline_s: float) -> None:
        """Move RW's self-fence."""
        if Kind.RW in self.by_kind:
            self.by_kind[Kind.RW].serve_until(deadline_s)

    def confirm(self, wish: Wish, asked_at_s: float) -> None:
        """As Gateway.confirm."""
        self.by_kind[wish.kind].confirm(wish.upstream, asked_at_s)

    async def wait_wishes(self) -> tuple[Wish, ...]:
        """The wishes since the last call, at least one; each wish once."""
        while not self._wishes:
            self._wished = trio.Event()
            await self._wished.wait()
        wishes = tuple(self._wishes)
        self._wishes.clear()
        return wishes

    @property
    def counters(self) -> dict[str, Counters]:
        """What each gateway counted, by its kind: "rw", "ro"."""
        return {kind.value: gateway.counters for kind, gateway in self.by_kind.items()}

    @property
    def sessions(self) -> int:
        """Sessions open now."""
        return sum(gateway.counters.active for gateway in self.by_kind.values())
