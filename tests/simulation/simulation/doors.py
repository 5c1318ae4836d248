"""Before a gateway opens: its Lease, then the head of the ledger, then a look at whom it opens to.

Promise (S6, S7): judged by what the API server carried out for this very process, and by what the
instance is in this world, when the gatekeeper tells its relay to open. What a newcomer gets wrong:
a Lease of an earlier process of the same pod proves nothing, nor does a head that was read before
the door was closed last.
"""

import trio
from attrs import define, field

from controller.kube import KubeNames
from gateway import Route
from statemachine.ids import Role

from .books import Books

BLINK_S = 1.2  # so old may the look at the instance be: a probe's time limit, and its ways


@define(eq=False)
class _Door:
    """One process of one controller pod."""

    lease_at_s: float | None = None  # its first own Lease
    head_at_s: float = float("-inf")
    closed_at_s: float = 0.0
    is_open: bool = False


@define(eq=False)
class Doors:
    """Owned by the world."""

    books: Books
    names: KubeNames
    _doors: dict[str, _Door] = field(factory=dict)

    def executed(self, actor: str, method: str, path: str) -> None:
        """The API server has carried out a request of this process."""
        door = self._door(actor)
        is_first = method in ("POST", "PUT") and door.lease_at_s is None
        is_own = path.startswith(self.names.leases_path)
        is_own = is_own and not path.endswith(f"/{self.names.leader_lease}")
        if method == "GET" and path.endswith(f"/{self.names.ledger}"):
            door.head_at_s = trio.current_time()
        elif is_first and is_own:
            door.lease_at_s = trio.current_time()

    def told(self, actor: str, route: Route) -> None:
        """A gatekeeper tells its relay where writes go."""
        door = self._door(actor)
        if not route.upstreams:
            door.closed_at_s, door.is_open = trio.current_time(), False
            return
        if door.is_open:
            return
        door.is_open = True
        if door.lease_at_s is None or door.head_at_s < door.lease_at_s:
            self.books.violated(f"{actor} opens before it has a Lease and then read the head")
        elif door.head_at_s < door.closed_at_s:
            self.books.violated(f"{actor} opens without having read the head since it closed")
        self._check_main(actor, route.upstreams[0].instance)

    def _check_main(self, actor: str, name: str) -> None:
        instance = self.books.instances[name]
        is_old = trio.current_time() - max(instance.role_since_s, instance.started_at_s) > BLINK_S
        if instance.is_up and instance.role is not Role.MAIN and is_old:
            self.books.violated(f"{actor} opens to {name}, which is {instance.role.value}")

    def _door(self, actor: str) -> _Door:
        return self._doors.setdefault(actor, _Door())
