"""The safety rules as sentences about this world: who may send what, and who may still acknowledge.

Promise: each rule is checked at the moment when a statement leaves, an answer reaches a client, or
an entry gets into the ledger, long before a broken one costs a write. Nothing in here asks a
controller; the ledger's own object is read as anybody could read it. What a newcomer gets wrong:
only what the present holder of the leader's Lease *sends* is judged. What lands late, or comes from
a process that was deposed while it stood still, is the world's doing (DESIGN 5, said openly).
"""

from collections.abc import Callable
from typing import Any

import trio
from attrs import define, field, frozen

from controller.memgraph import statements
from statemachine.ids import Role

from .books import Books
from .memgraph import Memgraph
from .relay import Relay
from .storage import MARKER

DISTURBED_S = 8.0  # after a hand took the leader's Lease two may lead for a while; see also edits
PAUSE_GRACE_S = 3.0  # a command that was under way when a person said "pause" may end
COMEBACK_S = 2.0  # so long a controller may not have seen that a process is another by now
TO_REPLICA = "SET REPLICATION ROLE TO REPLICA"


@frozen
class Order:
    """A role command that was sent, and whose answer did not arrive (yet)."""

    sender: str
    instance: str
    process: int


@define(eq=False)
class Rulebook:
    """Owned by the world. `holder()`: the pod that the leader's Lease names."""

    books: Books
    relays: Callable[[], list[Relay]]
    holder: Callable[[], str]
    deposed_at_s: float = float("-inf")  # when a hand took the leader's Lease last
    edited_at_s: float = float("-inf")  # when a hand edited the ledger last
    checks: int = 0
    _orders: dict[Order, int] = field(factory=dict)
    _carried: dict[str, tuple[str, int]] = field(factory=dict)  # name -> (replica, its process)

    # -- what leaves

    def sent(self, actor: str, peer: Memgraph, process: int, statement: str) -> None:
        """A statement that changes something leaves `actor` for this process of `peer`."""
        is_role = statement == statements.BECOME_MAIN or statement.startswith(TO_REPLICA)
        if is_role:
            self._check_alone(Order(actor, peer.name, process))
        pod, holder = actor.partition("#")[0], self.holder()
        if pod != holder:
            self._check_reign(pod, holder, statement)
            return
        if self._is_recent(self.edited_at_s):
            return
        self.checks += 1
        if self.books.ledger.leader != pod:
            self.books.violated(f"{pod} sends {statement!r} before its barrier")
        self._check_idle(statement)
        if statement == statements.BECOME_MAIN:
            self._check_promotion(peer, process)
        elif is_role:
            self._check_demotion(peer, process)
        elif statement.startswith("DROP REPLICA"):
            self._check_drop(statement.split("`")[1])
        elif statement.startswith("REGISTER REPLICA"):
            self._check_register(statement.split("`")[1])

    def answered(self, actor: str, peer: Memgraph, process: int) -> None:
        """Its sender knows what became of it."""
        self._orders.pop(Order(actor, peer.name, process), None)

    def _is_recent(self, at_s: float) -> bool:
        return trio.current_time() - at_s < DISTURBED_S

    def _check_reign(self, pod: str, holder: str, statement: str) -> None:
        """S9: who does not hold the Lease any more sends nothing."""
        if holder and not self._is_recent(self.deposed_at_s):
            self.books.violated(f"{pod} sends {statement!r}, and {holder} holds the Lease")

    def _check_alone(self, order: Order) -> None:
        """S9: no second role command while the answer to an earlier one is owed."""
        if order in self._orders:
            self.books.violated(
                f"{order.sender} sends {order.instance} a second role command, and does not know "
                "what became of the first"
            )
        self._orders[order] = 1

    def _check_idle(self, statement: str) -> None:
        """S15."""
        paused_s = self.books.ledger.idle_since_s
        if paused_s is not None and trio.current_time() - paused_s > PAUSE_GRACE_S:
            self.books.violated(f"paused or observing, and {statement!r} is sent")

    def _check_promotion(self, peer: Memgraph, process: int) -> None:
        """S1, S2, S4: recorded, fenced, and nobody relays writes any more."""
        ledger = self.books.ledger
        if ledger.candidate != peer.name:
            self.books.violated(f"{peer.name} is promoted, the ledger names {ledger.candidate!r}")
        elif not ledger.fence and not ledger.is_fresh:
            self.books.violated(f"{peer.name} is promoted before the fence")
        for relay in self.relays():
            if relay.may_acknowledge():
                self.books.violated(
                    f"{peer.name} is promoted while {relay.pod} may still acknowledge writes"
                )

    def _check_demotion(self, peer: Memgraph, process: int) -> None:
        """S5: nobody relays writes to whom is demoted."""
        for relay in self.relays():
            if relay.may_acknowledge(peer, process):
                self.books.violated(
                    f"{peer.name} is demoted while {relay.pod} may still acknowledge its writes"
                )

    def _check_drop(self, name: str) -> None:
        """S3: the set shrinks in the ledger first."""
        ledger = self.books.ledger
        if name in ledger.joined and ledger.phase != "FAILOVER":
            self.books.violated(f"{name} is dropped, and is in the sync set")

    def _check_register(self, name: str) -> None:
        """S1, S8."""
        if name not in self.books.ledger.open_names:
            self.books.violated(f"{name} is registered, and is not open in the ledger")

    # -- what markers prove

    def committed(self, main: Memgraph, write: int) -> None:
        """A commit went through `main`: a marker proves the rows that carried it."""
        if write != MARKER:
            return
        for row in main.rows.values():
            peer = main.peers.at(row.address)
            if peer is not None and peer.storage.latest_ts >= main.storage.ldt:
                self._carried[row.name] = (peer.name, peer.process)

    def joined(self, name: str, member: Memgraph, main: Memgraph) -> None:
        """S3: somebody is in the sync set now, by this name of a row."""
        carried = self._carried.get(name)
        is_same = carried is not None and carried[0] == member.name
        if not is_same:
            self.books.violated(f"{member.name} joins as {name}, and no marker ever went through")
            return
        assert carried is not None
        is_other = member.is_up and member.process != carried[1]
        if is_other and trio.current_time() - member.started_at_s > COMEBACK_S:
            self.books.violated(f"{member.name} joins as {name}; the marker met an earlier process")

    # -- what entries say

    def promoted(self, main: Memgraph) -> None:
        """S11: the ledger says that this one is main, and pinned."""
        if not main.is_up or main.late_process == main.process:
            return
        decided_at_s = trio.current_time() - self.books.under_way_s()
        is_old = decided_at_s - max(main.role_since_s, main.started_at_s) > COMEBACK_S
        if main.role is not Role.MAIN and is_old:
            self.books.violated(f"{main.name} is main by the ledger, and nobody promoted it")
        is_main = main.role is Role.MAIN
        if is_main and (main.storage.epoch != main.began_epoch or not main.is_pinned):
            self.books.violated(f"{main.name} is main by the ledger, and its epoch is not pinned")


def rules_of(books: Books, **given: Any) -> Rulebook:
    """Books and rules that know each other."""
    made = Rulebook(books, **given)
    books.on_joined, books.on_promoted = made.joined, made.promoted
    return made
