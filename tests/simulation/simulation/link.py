"""A connection to a simulated Memgraph, in the place of `controller.memgraph.link.Link`.

Promise: keeps Link's contract (one connection, never another; cut short means broken; nothing sent
if `before_sending` raises), and adds what networks do: answers get lost, statements land late, long
after their sender has given up, as long as the process lives that they were sent to.
"""

import re
from collections.abc import Callable
from typing import Any, Self

import trio
from attrs import frozen

from controller.errors import Lasting, MemgraphRefused, MemgraphUnreachable
from controller.memgraph import statements
from controller.memgraph.access import MemgraphAccess
from statemachine.ids import Mode, Role

from . import replication
from .actors import current_actor
from .memgraph import Died, Instances, Memgraph, Refused
from .storage import MARKER

CODE = "Memgraph.ClientError.MemgraphError.MemgraphError"
_REGISTER = re.compile(r'REGISTER REPLICA `([^`]+)` (\w+) TO "([^"]+)"')
_DROP = re.compile(r"DROP REPLICA `([^`]+)`")
Rows = list[dict[str, Any]]
QUICK_SHARE = 0.8  # of the questions that find nothing in their way; the others take their time


@frozen
class Delay:
    """What the network does to one statement that changes something. `late_s`: it lands so much
    later, and its sender hears nothing."""

    is_answer_lost: bool = False
    late_s: float | None = None


class Links:
    """Makes links for every controller pod; owned by the world."""

    def __init__(self, instances: Instances, location: Callable[[str], str]) -> None:
        self.instances, self.location = instances, location
        self.delay: Callable[[str, str, str], Delay | None] = lambda sender, to, statement: None
        self.before_change: Callable[[str, str], None] = lambda actor, statement: None
        self.on_sent: Callable[[str, Memgraph, int, str], None] = lambda *_: None
        self.on_answered: Callable[[str, Memgraph, int], None] = lambda *_: None

    async def dial(self, host: str, access: MemgraphAccess, *, limit_s: float) -> "SimLink":
        """See `Link.dial`."""
        me, peer = self.location(current_actor()), self.instances.hosts.get(host)
        with trio.move_on_after(max(limit_s, 0.02)):
            await trio.sleep(self.latency_s())
            if peer is not None and self.instances.network.joins(me, peer.name):
                if not peer.is_up:
                    raise MemgraphUnreachable(f"{host}: connection refused", refused=True)
                link = SimLink(self, peer, me)
                await link.shake_hands()
                return link
            await trio.sleep_forever()
        raise MemgraphUnreachable(f"{host}: the dial hangs", refused=False)

    def latency_s(self) -> float:
        """One way."""
        return 0.0005 + 0.001 * self.instances.dice.random()

    async def require_listening(self, address: str) -> None:
        """See `registrations.require_listening`."""
        me, peer = self.location(current_actor()), self.instances.at(address)
        await trio.sleep(self.latency_s())
        if peer is None or not self.instances.network.joins(me, peer.name):
            raise MemgraphUnreachable(f"{address} stays silent", refused=False)
        if not peer.is_up or peer.role is not Role.REPLICA:
            raise MemgraphUnreachable(f"{address} does not accept", refused=True)


class SimLink:
    """See `controller.memgraph.link.Link`."""

    def __init__(self, links: Links, peer: Memgraph, me: str) -> None:
        self._links, self._peer, self._me = links, peer, me
        self._process = peer.process
        self._turn = trio.Lock()
        self.address = peer.ip
        self.is_broken = False

    async def shake_hands(self) -> None:
        """Only a process that runs answers. Raises MemgraphUnreachable when it dies instead."""
        try:
            await self._peer.wait_running(self._process)
        except Died as error:
            raise MemgraphUnreachable(f"{self.address}: reset", refused=True) from error

    async def ask(
        self, statement: str, *, limit_s: float, before_sending: Callable[[], None] | None = None
    ) -> Rows:
        """See `Link.ask`."""
        if (read := READS.get(statement)) and self._is_free() and self._is_at_once(statement):
            return self._read(read)  # no turn for others: probes are most of a simulation's time
        async with self._turn:
            if self.is_broken:
                raise MemgraphUnreachable(f"{self.address}: the connection broke", refused=False)
            if before_sending is not None:
                before_sending()
            intact = False
            try:
                with trio.fail_after(limit_s):
                    rows = await self._exchange(statement)
                intact = True
            except trio.TooSlowError:
                text = f"{self.address}: no answer within {limit_s:g} s"
                raise MemgraphUnreachable(text, refused=False) from None
            except Died as error:
                raise MemgraphUnreachable(f"{self.address}: reset", refused=True) from error
            except Lasting:
                intact = True
                raise
            finally:
                self.is_broken = self.is_broken or not intact
        return rows

    async def aclose(self) -> None:
        """See `Link.aclose`."""
        self.is_broken = True

    async def _exchange(self, statement: str) -> Rows:
        peer, network = self._peer, self._links.instances.network
        read = READS.get(statement)
        if read is None:
            self._links.on_sent(current_actor(), peer, self._process, statement)
            self._links.before_change(current_actor(), statement)
        await trio.sleep(self._links.latency_s())
        peer.check(self._process)
        if not network.carries(self._me, peer.name):
            await trio.sleep_forever()
        if read is not None:
            await peer.wait_running(self._process)
            while peer.is_registering and statement.startswith("SHOW REP"):
                await trio.sleep(0.05)  # REGISTER freezes them (L9)
                peer.check(self._process)
            rows = self._read(read)
        else:
            rows = await self._change(statement)
        if not network.carries(peer.name, self._me):
            await trio.sleep_forever()
        return rows

    def _is_at_once(self, statement: str) -> bool:
        return statement in FOLLOWING or self._links.instances.dice.random() < QUICK_SHARE

    def _is_free(self) -> bool:
        """Whether nothing delays an answer that follows another at once."""
        peer = self._peer
        if self.is_broken or self._turn.locked():
            return False
        is_busy = peer.is_hung or peer.is_registering
        is_same = peer.is_up and peer.process == self._process
        return is_same and not is_busy and self._links.instances.network.is_whole

    def _read(self, read: "Callable[[Memgraph], Rows]") -> Rows:
        try:
            return read(self._peer)
        except Refused as refusal:
            raise MemgraphRefused("read", CODE, str(refusal)) from refusal

    async def _change(self, statement: str) -> Rows:
        """Run by the process, not by us: being cut short ends nothing over there."""
        delay = self._links.delay(self._me, self._peer.name, statement) or Delay()
        ended = trio.Event()
        errors: list[Exception] = []
        self._links.instances.spawn(self._carry_out, statement, delay.late_s or 0.0, ended, errors)
        if delay.late_s is not None or delay.is_answer_lost:
            await trio.sleep_forever()
        await ended.wait()
        if not self._links.instances.network.carries(self._peer.name, self._me):
            await trio.sleep_forever()
        self._links.on_answered(current_actor(), self._peer, self._process)
        for error in errors:
            if isinstance(error, Refused):
                raise MemgraphRefused(statement, CODE, str(error)) from error
            raise error
        return []

    async def _carry_out(
        self, statement: str, late_s: float, ended: trio.Event, errors: list[Exception]
    ) -> None:
        if late_s:
            await trio.sleep(late_s)
        peer = self._peer
        try:
            await peer.wait_running(self._process)
            if late_s:
                peer.late_process = peer.process
                peer.peers.note(f"late by {late_s:.1f} s on {peer.name}: {statement}")
            await change(peer, statement)
        except (Refused, Died) as error:
            errors.append(error)
        ended.set()


async def change(peer: Memgraph, statement: str) -> None:
    """Carry out a statement that changes something. Raises Refused, Died."""
    process = peer.process
    if statement == statements.BECOME_MAIN:
        peer.become(Role.MAIN)
        peer.peers.note(f"{peer.name} became MAIN")
    elif statement.startswith("SET REPLICATION ROLE TO REPLICA"):
        peer.become(Role.REPLICA)
        peer.peers.note(f"{peer.name} became REPLICA")
    elif statement == statements.CREATE_SNAPSHOT:
        await trio.sleep(0.01)
        peer.check(process)
        peer.create_snapshot()
    elif statement == statements.MARKER:
        await replication.commit(peer, MARKER)
    elif found := _REGISTER.fullmatch(statement):
        await replication.register(peer, found[1], Mode(found[2].lower()), found[3])
        peer.peers.note(f"{peer.name} registered {found[1]} {found[2]}")
    elif found := _DROP.fullmatch(statement):
        peer.drop(found[1])
        peer.peers.note(f"{peer.name} dropped {found[1]}")
    else:
        raise AssertionError(f"the product says what this Memgraph does not know: {statement}")


def verb_of(statement: str) -> str:
    """What a statement that changes something does, in one word."""
    if statement == statements.BECOME_MAIN:
        return "promote"
    if statement == statements.CREATE_SNAPSHOT:
        return "pin"
    if statement == statements.MARKER:
        return "mark"
    return {"SET": "demote", "REGISTER": "register", "DROP": "drop"}[statement.split()[0]]


FOLLOWING = frozenset(
    {statements.SHOW_REPLICAS, statements.SHOW_VERSION, statements.SHOW_DATABASE_INFO}
)
"""What a probe asks after the role, on the same connection."""

READS: dict[str, Callable[[Memgraph], Rows]] = {
    statements.SHOW_ROLE: lambda m: [{"replication role": m.role.value}],
    statements.SHOW_REPLICAS: lambda m: m.show_replicas(),
    statements.SHOW_VERSION: lambda m: [{"version": "3.12.0"}],
    statements.SHOW_DATABASE_INFO: lambda m: [
        {"storage info": "database_uuid", "value": m.disk.storage_uuid}
    ],
    statements.COUNT_NODES: lambda m: [{"nodes": m.node_count()}],
}


def link_class(links: Links) -> type:
    """What `controller.memgraph.instance` takes for Link."""

    class Dialled:
        @classmethod
        async def dial(cls, host: str, access: MemgraphAccess, *, limit_s: float) -> SimLink:
            return await links.dial(host, access, limit_s=limit_s)

    return Dialled


__all__ = ["Delay", "Links", "Self", "SimLink", "link_class", "verb_of"]
