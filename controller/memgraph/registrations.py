"""What a main is told about its replicas: register, drop, and the marker that proves completeness.

Promise: nothing is sent for a name or an address that is not what it claims to be, nor for a
replica whose replication port does not accept right now. A marker is written only if the row it
shall prove is a synchronous row in `ready`, and names as carried only rows that stood before and
after it.

What a newcomer gets wrong: a marker that went through proves nothing by itself. Without a live
STRICT_SYNC row it commits on the main alone; so rows are read before and after, over the same link.
A SYNC row lets a commit through whatever became of it (MEMGRAPH 3.4), so of that one only `ready`
and nothing behind, *after* the marker, says that it was carried.
"""

from collections.abc import Callable

import trio

from controller.errors import MemgraphRefused, MemgraphUnreachable
from controller.memgraph import statements
from controller.memgraph.parse import parse_rows
from controller.memgraph.roles import LOCAL_CODE, ReignedLink
from controller.ports import Carried
from statemachine.ids import Mode, RowStatus
from statemachine.observations import Row

LISTEN_CHECK_S = 0.5  # a refused connection answers in 1 ms, a silent one freezes the main for 10 s

_ATTACHED = frozenset({RowStatus.READY, RowStatus.REPLICATING})  # under load a commit is under way


def checked(build: Callable[[], str]) -> str:
    """The statement. Raises MemgraphRefused with our own code when a part of it is unfit."""
    try:
        return build()
    except statements.BadStatement as problem:
        raise MemgraphRefused("nothing was sent", LOCAL_CODE, str(problem)) from problem


async def require_listening(address: str) -> None:
    """The replica's replication port accepts a TCP connection within LISTEN_CHECK_S.

    Raises:
        MemgraphUnreachable: it does not; the message names the replica's address.
    """
    host, port = statements.split_address(address)
    with trio.move_on_after(LISTEN_CHECK_S):
        try:
            await (await trio.open_tcp_stream(host, port)).aclose()
        except OSError as error:
            text = f"the replication port {address} does not accept: {error}"
            refused = isinstance(error, ConnectionRefusedError)
            raise MemgraphUnreachable(text, refused=refused) from error
        return
    raise MemgraphUnreachable(f"the replication port {address} stays silent", refused=False)


async def drop(link: ReignedLink, name: str) -> None:
    """No row of this name is left. Raises MemgraphRefused when it is still there."""
    statement = checked(lambda: statements.drop(name))
    try:
        await link.change(statement)
    except MemgraphRefused:
        rows = parse_rows(await link.read(statements.SHOW_REPLICAS))
        if any(row.name == name for row in rows):
            raise


async def mark(link: ReignedLink, names: tuple[str, ...]) -> Carried:
    """Write the marker; tell which synchronous rows it went through.

    Args:
        names: the rows whose completeness shall be proven; empty: of whoever is there.

    Raises:
        MemgraphRefused: one of `names` is no ready synchronous row (LOCAL_CODE, nothing was
            written: it could not prove what it shall), or Memgraph refused the write.
        CommandOutcomeUnknown: no answer, or the rows could not be read afterwards.
    """
    before = _sound(parse_rows(await link.read(statements.SHOW_REPLICAS)), _ATTACHED)
    if missing := sorted(set(names) - {row.name for row in before}):
        text = f"no ready synchronous row on {link.link.address} of {', '.join(missing)}"
        raise MemgraphRefused("no marker was written", LOCAL_CODE, text)
    await link.change(statements.MARKER)
    after = _sound(parse_rows(await link.read(statements.SHOW_REPLICAS)), _ATTACHED)
    stood = {(row.name, row.address) for row in after}
    return Carried(tuple(row.name for row in before if (row.name, row.address) in stood))


def _sound(rows: tuple[Row, ...], statuses: frozenset[RowStatus]) -> tuple[Row, ...]:
    """Synchronous rows that take part in commits. One that is *ahead* of its main skips what the
    main sends and still says yes (MEMGRAPH 3.5), so that a marker proves nothing for it."""
    return tuple(
        row
        for row in rows
        if (row.mode is Mode.STRICT_SYNC and row.status in statuses and (row.behind or 0) <= 0)
        or (row.mode is Mode.SYNC and row.is_in_sync)
    )
