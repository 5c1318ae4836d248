"""Role commands on one unbroken link: demote, promote, and what happens when the answer is lost.

Promise: the role is read right before each SET ROLE and read back after it, over the same link; the
reign is looked at between that read and the statement (S9). Once a statement that changes the role
was sent, a break of the link means CommandOutcomeUnknown, never "unreachable".

What a newcomer gets wrong: Memgraph refuses with the *same* text because the role is the wanted one
already, because its lock is busy, and because the port is taken (when it has become a REPLICA
nevertheless, MEMGRAPH 1.5). The text decides nothing: the role that is read afterwards does.
"""

from collections.abc import Callable

import trio

from controller.errors import (
    CommandOutcomeUnknown,
    LeaseLost,
    MemgraphRefused,
    MemgraphUnreachable,
    MemgraphUnreadable,
)
from controller.memgraph import statements
from controller.memgraph.access import MemgraphAccess
from controller.memgraph.link import Link
from controller.memgraph.parse import Record, parse_role
from statemachine.ids import Role

RETRY_PAUSE_S = 0.01  # with it a busy main was demoted within 14 tries, 0.33 s (MEMGRAPH L14)
RETRY_MAX_S = 2.0
LOCAL_CODE = "memgraph-controller.Refused"  # for refusals that are ours, not Memgraph's

_BUSY = ("couldn't set role", "couldn't set replication role", "concurrent system queries")


class ReignedLink:
    """A link for one command: looks at the reign before each change, and knows whether one is
    owed an answer."""

    def __init__(
        self, link: Link, access: MemgraphAccess, still_reigning: Callable[[], bool]
    ) -> None:
        self.link, self.access = link, access
        self._still_reigning = still_reigning
        self._has_changed = False

    async def read(self, statement: str) -> list[Record]:
        """Raises CommandOutcomeUnknown instead of MemgraphUnreachable once something was sent."""
        try:
            return await self.link.ask(statement, limit_s=self.access.command_timeout_s)
        except MemgraphUnreachable as error:
            self.raise_unknown(error)
            raise

    async def change(self, statement: str, *, limit_s: float | None = None) -> None:
        """Send a statement that changes something.

        Raises:
            LeaseLost: somebody else may act by now; this statement was not sent.
            CommandOutcomeUnknown: no answer. The link was aborted.
            MemgraphUnreachable: the link broke before its turn; it was not sent.
            MemgraphRefused.
        """
        was_sent = False

        def look() -> None:
            nonlocal was_sent
            if not self._still_reigning():
                raise LeaseLost(f"{statement!r} was not sent: the reign is over, or its term")
            was_sent = True

        limit_s = limit_s or self.access.command_timeout_s
        try:
            await self.link.ask(statement, limit_s=limit_s, before_sending=look)
        except MemgraphUnreachable as error:
            if was_sent:
                raise CommandOutcomeUnknown(str(error)) from error
            self.raise_unknown(error)
            raise
        self._has_changed = True

    def raise_unknown(self, error: MemgraphUnreachable) -> None:
        """Raise CommandOutcomeUnknown if something was changed over this link before."""
        if self._has_changed:
            raise CommandOutcomeUnknown(f"not read back: {error}") from error


async def read_role(link: ReignedLink) -> Role:
    """The role right now. Raises MemgraphUnreadable for one that nobody knows."""
    role = parse_role(await link.read(statements.SHOW_ROLE))
    if role is Role.UNKNOWN:
        raise MemgraphUnreadable(f"{link.link.address} has a replication role that is unknown")
    return role


async def become(link: ReignedLink, wanted: Role) -> None:
    """The role is `wanted`, read back; nothing is sent when it is so already.

    Raises:
        MemgraphRefused: refused still, RETRY_MAX_S after the first try.
        MemgraphUnreachable (nothing was changed), CommandOutcomeUnknown, LeaseLost.
    """
    statement = statements.become(wanted, link.access.replication_port)
    give_up_at_s = trio.current_time() + RETRY_MAX_S
    refusal: MemgraphRefused | None = None
    while await read_role(link) is not wanted:
        if refusal is not None:
            if not _is_busy(refusal) or trio.current_time() >= give_up_at_s:
                raise refusal
            await trio.sleep(RETRY_PAUSE_S)
        try:
            await link.change(statement)
        except MemgraphRefused as error:
            refusal = error


def _is_busy(refusal: MemgraphRefused) -> bool:
    return any(text in refusal.message.lower() for text in _BUSY)
