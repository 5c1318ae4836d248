"""One TCP connection to one Memgraph, for as long as it lives, and never another.

Promise: every answer of a Link comes over the very connection that it was made with. neo4j's pool
reconnects silently, so each Link has a driver of its own whose pool holds one connection and whose
resolver gives the address away once: a second dial is impossible, and a broken connection stays
broken. Statements run one at a time, each in auto-commit (`session.run`), which is the only way
Memgraph takes replication statements (scenario 1); managed transactions are never used.

What a newcomer gets wrong: a statement that was cut short (time limit, cancellation) breaks the
link, for its answer could otherwise be taken for the next one's. Whoever waits for the turn and
is cut short has sent nothing, and leaves the link as it is.

What this cannot do: S9 wants RUN, its SUCCESS, a look at the reign, then PULL. The driver sends RUN
and PULL in one write and has no public way to part them (`fetch_size` changes the number in PULL,
not its moment). In its place the role commands read the role over the same link right before, so
that a round trip has just proven it alive, look at the reign after that, and then send.
"""

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self, TypeVar

import trio

from controller.errors import Lasting, MemgraphUnreachable
from controller.memgraph.access import MemgraphAccess
from controller.memgraph.parse import Record
from controller.memgraph.trouble import foreign_errors, translated

if TYPE_CHECKING:
    from neo4j import AsyncDriver

_T = TypeVar("_T")

CLOSE_S = 1.0  # for GOODBYE; then the socket is closed without it
DIAL_SLACK_S = 0.5  # beyond the driver's own limits: a name service that hangs
DIAL_MIN_S = 0.02
USER_AGENT = "memgraph-controller"


class Link:
    """Made by `dial`, ended by `aclose`; both must run inside the asyncio loop of trio-asyncio."""

    def __init__(self, driver: "AsyncDriver", address: str) -> None:
        self._driver, self.address = driver, address
        self._turn = trio.Lock()
        self.is_broken = False

    @classmethod
    async def dial(cls, host: str, access: MemgraphAccess, *, limit_s: float) -> Self:
        """Connect, shake hands, log in, all within `limit_s`.

        Raises:
            MemgraphUnreachable: without any socket when `host` is empty (scenario 6).
            MemgraphAuthFailed, MemgraphRefused.
        Cancellation: waits for the dial to end, at most `limit_s`, for the driver leaves its
        socket to the garbage collector when it is cancelled while connecting.
        """
        address = f"{host}:{access.bolt_port}"
        if not host:
            raise MemgraphUnreachable("the instance has no address", refused=False)
        limit_s = max(limit_s, DIAL_MIN_S)
        link = cls(_one_connection(host, access, limit_s), address)
        is_up = False
        try:
            with trio.CancelScope(shield=True), trio.fail_after(limit_s + DIAL_SLACK_S):
                await link._guarded(link._driver.get_server_info, "the login")
            is_up = True
        except trio.TooSlowError as error:
            raise MemgraphUnreachable(f"{address}: the dial hangs", refused=False) from error
        finally:
            if not is_up:
                await link.aclose()
        return link

    async def ask(
        self, statement: str, *, limit_s: float, before_sending: Callable[[], None] | None = None
    ) -> list[Record]:
        """All rows of the answer to one statement.

        Args:
            before_sending: called when it is this statement's turn; nothing is sent if it raises.

        Raises:
            MemgraphUnreachable: no answer. If the statement was sent it may have been, or may still
                be, carried out: the caller must know what it asked for.
            MemgraphAuthFailed, MemgraphRefused: an answer; the link goes on.
        Cancellation: breaks the link when the statement was sent already.
        """
        async with self._turn:
            if self.is_broken:
                raise MemgraphUnreachable(f"{self.address}: the connection broke", refused=False)
            if before_sending is not None:
                before_sending()
            intact = False
            try:
                with trio.fail_after(limit_s):
                    rows = await self._guarded(lambda: self._run(statement, limit_s), statement)
                intact = True
            except trio.TooSlowError:
                text = f"{self.address}: no answer to {statement!r} within {limit_s:g} s"
                raise MemgraphUnreachable(text, refused=False) from None
            except Lasting:
                intact = True
                raise
            finally:
                if not intact:
                    await self.aclose()
        return rows

    async def aclose(self) -> None:
        """The connection is closed, politely if the other side takes it within CLOSE_S.

        Cancellation: finishes first.
        """
        from trio_asyncio import aio_as_trio

        self.is_broken = True
        with (
            trio.CancelScope(shield=True),
            trio.move_on_after(CLOSE_S),
            suppress(*foreign_errors()),
        ):
            await aio_as_trio(self._driver.close)()

    async def _guarded(self, call: Callable[[], Awaitable[_T]], statement: str) -> _T:
        """One crossing into asyncio, with foreign errors translated."""
        from trio_asyncio import aio_as_trio

        try:
            result: _T = await aio_as_trio(call)()
        except foreign_errors() as error:
            raise translated(error, statement, self.address) from error
        return result

    async def _run(self, statement: str, limit_s: float) -> list[Record]:
        """Runs in asyncio. The server gets the time limit too; not all of its waits obey (L10)."""
        from neo4j import Query

        async with self._driver.session() as query_session:
            result = await query_session.run(Query(_literal(statement), timeout=limit_s))
            return [record.data() async for record in result]


def _one_connection(host: str, access: MemgraphAccess, limit_s: float) -> "AsyncDriver":
    """A driver that can dial once. Plain `bolt://`: routing needs an Enterprise cluster."""
    from neo4j import AsyncGraphDatabase

    # the driver logs an error for each broken connection; our errors and observations say the same
    logging.getLogger("neo4j").setLevel(logging.CRITICAL)
    tls: dict[str, Any] = {} if access.tls is None else {"ssl_context": access.tls}
    return AsyncGraphDatabase.driver(
        f"bolt://{host}:{access.bolt_port}",
        auth=(access.user, access.password) if access.user else None,
        resolver=_OneDial(),
        max_connection_pool_size=1,
        max_connection_lifetime=-1,
        connection_timeout=limit_s,
        connection_acquisition_timeout=limit_s,
        keep_alive=True,
        telemetry_disabled=True,
        user_agent=USER_AGENT,
        **tls,
    )


class _OneDial:
    """The driver asks its resolver before every dial: the first time it gets the address."""

    def __init__(self) -> None:
        self._is_spent = False

    def __call__(self, address: Any) -> list[Any]:  # Any: the driver's own address type
        from neo4j.exceptions import ServiceUnavailable

        if self._is_spent:
            raise ServiceUnavailable("the connection broke, and this driver may not dial again")
        self._is_spent = True
        return [address]


def _literal(statement: str) -> Any:  # Any: neo4j wants LiteralString; `statements` checks ours
    return statement
