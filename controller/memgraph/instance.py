"""One Memgraph instance at one address: the port MemgraphInstance on real connections.

Promise: every answer of `probe` and every role command runs over the kept connection, known by its
incarnation number; as long as the number is the same, so is the connection, and with it the process
behind it. Whatever may take long or hang (CREATE SNAPSHOT, REGISTER, DROP, the marker) runs over a
connection of its own, so that probes and the gateway's pings go on meanwhile.

What a newcomer gets wrong: the snapshot that pins a promotion is not sent over the kept connection,
and still is known to be of the same process: the kept connection answers before it and after it, so
that process lived throughout, and its port took the other connection in between (S11).
"""

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio
from attrs import define

from controller.errors import MemgraphRefused, MemgraphUnreachable
from controller.memgraph import registrations, statements
from controller.memgraph.access import MemgraphAccess
from controller.memgraph.link import Link
from controller.memgraph.parse import (
    Record,
    parse_node_count,
    parse_role,
    parse_rows,
    parse_storage_uuid,
    parse_version,
    require_supported,
)
from controller.memgraph.roles import LOCAL_CODE, ReignedLink, become, read_role
from controller.ports import Carried, ProbeAnswer
from statemachine.commands import Demote, Drop, Mark, Promote, Register
from statemachine.ids import Incarnation, Instance, Role, Term

_incarnations = itertools.count(1)  # process-wide, so that no two connections share a number


@define(eq=False)
class Kept:
    """The kept connection, and what does not change while it lives."""

    link: Link
    incarnation: Incarnation
    version: str = ""  # "" = not asked yet
    storage_statement: str = statements.SHOW_DATABASE_INFO


class BoltInstance:
    """See the module header. `still_reigning` is asked right before each statement of a command
    that changes something."""

    def __init__(
        self,
        instance: Instance,
        host: str,
        access: MemgraphAccess,
        still_reigning: Callable[[], bool],
        present_term: Callable[[], Term | None] = lambda: None,
    ) -> None:
        self.instance, self.host = instance, host
        self._access, self._still_reigning = access, still_reigning
        self._present_term = present_term
        self._kept: Kept | None = None
        self._dialling = trio.Lock()
        self._is_closed = False

    async def probe(self, *, count_nodes: bool = False) -> ProbeAnswer:
        """See the port. A kept connection that turns out to be broken is replaced at once, within
        the same time limit, so that a restart shows as a new incarnation or as refused."""
        with self._within_probe_timeout():
            kept, role = await self._kept_and_role()
            return await self._answer(kept, role, count_nodes)
        raise self._silent()

    async def probe_fresh(self) -> Role:
        """See the port."""
        with self._within_probe_timeout():
            async with self._side_link(self._dial_limit_s()) as link:
                return parse_role(await self._read(link, statements.SHOW_ROLE))
        raise self._silent()

    async def ping(self, incarnation: Incarnation) -> Role:
        """See the port."""
        kept = self._kept
        if kept is None or kept.incarnation != incarnation or kept.link.is_broken:
            raise MemgraphUnreachable(f"{self.instance}: another connection by now", refused=False)
        with self._within_probe_timeout():
            return parse_role(await self._read(kept.link, statements.SHOW_ROLE))
        raise self._silent()

    async def demote(self, command: Demote) -> Incarnation:
        """See the port. A port that was taken shows later, when it is registered (MEMGRAPH 1.5)."""
        kept = await self._kept_for_command()
        await become(self._reigned(kept.link, command.term), Role.REPLICA)
        return kept.incarnation

    async def promote(self, command: Promote) -> Incarnation:
        """See the port. A MAIN is demoted first, for nobody knows whether it is pinned (S11)."""
        kept = await self._kept_for_command()
        link = self._reigned(kept.link, command.term)
        if await read_role(link) is Role.MAIN:
            await become(link, Role.REPLICA)
        await become(link, Role.MAIN)
        await self._pin(link)
        if (role := await read_role(link)) is not Role.MAIN:
            text = f"{self.instance} is {role.value} again after its snapshot"
            raise MemgraphRefused(statements.SHOW_ROLE, LOCAL_CODE, text)
        return kept.incarnation

    async def register(self, command: Register) -> None:
        """See the port. The replica's replication port is tried first, for a silent one would
        freeze the main (L9); whether it answers Bolt as a REPLICA is for the caller to know."""
        statement = registrations.checked(
            lambda: statements.register(command.name, command.mode, command.address)
        )
        await registrations.require_listening(command.address)
        async with self._side_link(self._access.connect_timeout_s) as link:
            await self._reigned(link).change(statement)

    async def drop(self, command: Drop) -> None:
        """See the port. A row that is not there (any more) is success."""
        async with self._side_link(self._access.connect_timeout_s) as link:
            await registrations.drop(self._reigned(link), command.name)

    async def mark(self, command: Mark) -> Carried:
        """See the port and `registrations.mark`."""
        async with self._side_link(self._access.connect_timeout_s) as link:
            return await registrations.mark(self._reigned(link), command.names)

    async def aclose(self) -> None:
        """No connection is left, and none will be made. Cancellation: finishes first."""
        self._is_closed = True
        kept, self._kept = self._kept, None
        if kept is not None:
            await kept.link.aclose()

    async def _answer(self, kept: Kept, role: Role, count_nodes: bool) -> ProbeAnswer:
        if not kept.version:
            kept.version = parse_version(await self._read(kept.link, statements.SHOW_VERSION))
        require_supported(kept.version)
        storage_uuid = await self._storage_uuid(kept)
        rows = count = None
        if role is Role.MAIN:
            rows = parse_rows(await self._read(kept.link, statements.SHOW_REPLICAS))
        if count_nodes:
            count = parse_node_count(await self._read(kept.link, statements.COUNT_NODES))
        return ProbeAnswer(kept.incarnation, role, kept.version, storage_uuid, rows, count)

    async def _storage_uuid(self, kept: Kept) -> str:
        """Asked at every probe: an empty replica takes over its main's when it is registered."""
        try:
            return parse_storage_uuid(await self._read(kept.link, kept.storage_statement))
        except MemgraphRefused:
            if kept.storage_statement == statements.SHOW_STORAGE_INFO:
                raise
        kept.storage_statement = statements.SHOW_STORAGE_INFO
        return parse_storage_uuid(await self._read(kept.link, kept.storage_statement))

    async def _pin(self, kept_link: ReignedLink) -> None:
        """The new epoch is in a storage snapshot: else a crash brings the old one back (3.5)."""
        try:
            async with self._side_link(self._access.connect_timeout_s) as link:
                await self._reigned(link).change(
                    statements.CREATE_SNAPSHOT, limit_s=self._access.snapshot_timeout_s
                )
        except MemgraphUnreachable as error:
            kept_link.raise_unknown(error)
            raise

    async def _kept_for_command(self) -> Kept:
        """The kept connection, just seen alive. Nothing is sent but a read."""
        with trio.move_on_after(self._access.command_timeout_s):
            kept, _ = await self._kept_and_role()
            return kept
        raise self._silent(self._access.command_timeout_s)

    async def _kept_and_role(self) -> tuple[Kept, Role]:
        kept, is_new = await self._keep()
        try:
            return kept, parse_role(await self._read(kept.link, statements.SHOW_ROLE))
        except MemgraphUnreachable:
            if is_new:
                raise
        kept, _ = await self._keep()
        return kept, parse_role(await self._read(kept.link, statements.SHOW_ROLE))

    async def _keep(self) -> tuple[Kept, bool]:
        """The kept connection and whether it was made just now."""
        if self._kept is not None and not self._kept.link.is_broken:
            return self._kept, False
        async with self._dialling:
            if self._kept is not None and not self._kept.link.is_broken:
                return self._kept, False
            kept = Kept(await self._dial(self._dial_limit_s()), Incarnation(next(_incarnations)))
            if self._is_closed:
                await kept.link.aclose()
            self._kept = kept
            return kept, True

    async def _dial(self, limit_s: float) -> Link:
        if self._is_closed:
            raise MemgraphUnreachable(f"{self.instance}: this address is given up", refused=False)
        return await Link.dial(self.host, self._access, limit_s=limit_s)

    def _dial_limit_s(self) -> float:
        left_s = trio.current_effective_deadline() - trio.current_time()
        return min(self._access.connect_timeout_s, left_s)

    @asynccontextmanager
    async def _side_link(self, limit_s: float) -> AsyncIterator[Link]:
        link = await self._dial(limit_s)
        try:
            yield link
        finally:
            await link.aclose()

    async def _read(self, link: Link, statement: str) -> list[Record]:
        return await link.ask(statement, limit_s=self._access.command_timeout_s)

    def _reigned(self, link: Link, term: Term | None = None) -> ReignedLink:
        """`term`: a role is not changed any more once the ledger is in another one, as when the
        instance hung while its role was read (S2)."""

        def may_send() -> bool:
            present = self._present_term() if term is not None else None
            return self._still_reigning() and present in (None, term)

        return ReignedLink(link, self._access, may_send)

    def _within_probe_timeout(self) -> trio.CancelScope:
        return trio.move_on_after(self._access.probe_timeout_s)

    def _silent(self, limit_s: float | None = None) -> MemgraphUnreachable:
        limit_s = limit_s or self._access.probe_timeout_s
        return MemgraphUnreachable(
            f"{self.instance}: no answer within {limit_s:g} s", refused=False
        )
