"""How a main's data reach its replicas: two-phase commit, heartbeats, recovery, REGISTER.

Promise: every wait is a point where processes die, links break and roles change. The known holes
are in: a lost finalize is acknowledged (3.6a), a replica that is ahead skips and says yes (3.5), a
replica stolen by another main rejects, a failed REGISTER leaves a row that does nothing (1.6).
"""

import trio

from statemachine.ids import Mode, Role, RowStatus

from .memgraph import FREEZE_S, PREPARE_LIMIT_S, Memgraph, Refused, Unconfirmed
from .storage import Commit, Row

PING_S = 1.0
PINGS_MISSED_MAX = 3
ABORTED = "Transaction was aborted on all instances."
NOT_MAIN = "Write queries are forbidden on the replica instance."


def _takes_data(main: Memgraph, replica: Memgraph) -> bool:
    """A replica takes data of the main that it was last told, for its own storage alone."""
    return (
        replica.role is Role.REPLICA
        and replica.disk.main_uuid == main.disk.main_uuid
        and replica.disk.storage_uuid == main.disk.storage_uuid
    )


def _peer(main: Memgraph, row: Row) -> Memgraph | None:
    """Who takes connections at the row's address, as the main reaches it."""
    peer = main.peers.at(row.address)
    if peer is None or not peer.is_up or peer.role is not Role.REPLICA:
        return None
    return peer if main.peers.network.joins(main.name, peer.name) else None


def _is_joined(main: Memgraph, peer: Memgraph) -> bool:
    return main.peers.network.joins(main.name, peer.name)


def _is_silent(main: Memgraph, row: Row) -> bool:
    """Whether a call to the row's address gets neither an answer nor a refusal."""
    peer = main.peers.at(row.address)
    if peer is None:
        return False
    return peer.is_hung or not main.peers.network.joins(main.name, peer.name)


async def commit(main: Memgraph, write: int) -> None:
    """One write of a client, or a marker. Returns when it is acknowledged.

    Raises:
        Refused: surely not committed.
        Died: nobody knows.
    """
    process = main.process
    await main.wait_running(process)
    async with main.engine:
        main.check(process)
        if main.role is not Role.MAIN:
            raise Refused(NOT_MAIN)
        main.tried_at_s = trio.current_time()
        strict = _rows(main, Mode.STRICT_SYNC)
        made = main.storage.next_commit(write)
        await _vote(main, process, strict, made)
        main.peers.on_moment("voted")
        main.check(process)
        confirmed = [await _send_sync(main, process, row, made) for row in _rows(main, Mode.SYNC)]
        main.storage.apply(made)
        for row in strict:
            await _finalize(main, row, made)
        main.check(process)
        main.peers.on_commit(main, write)
        for row in main.rows.values():
            if row.mode is Mode.ASYNC and row.status is RowStatus.READY:
                row.status = RowStatus.REPLICATING
                main.peers.spawn(_ship, main, process, row)
    await main.wait_running(process)
    if not all(confirmed):
        raise Unconfirmed("Failed to replicate to SYNC replica. Transaction is still committed")


def _rows(main: Memgraph, mode: Mode) -> list[Row]:
    """Those that take part in commits."""
    return [r for r in main.rows.values() if r.mode is mode and r.status is not RowStatus.ABSENT]


async def _send_sync(main: Memgraph, process: int, row: Row, made: Commit) -> bool:
    """SYNC: the replica applies at once, and the main commits whatever became of that (3.2)."""
    said_yes = await _prepare(main, process, row, made)
    peer = _peer(main, row)
    if said_yes and peer is not None and peer.storage.prepared == made:
        peer.storage.prepared = None
        peer.storage.apply(made)
        row.ts = made.ts
    return said_yes


async def _vote(main: Memgraph, process: int, strict: list[Row], made: Commit) -> None:
    """Phase 1: every STRICT_SYNC replica holds the transaction. Raises Refused, Died."""
    ok = all([await _prepare(main, process, row, made) for row in strict])
    await main.wait_running(process)
    if ok:
        return
    for row in strict:
        peer = _peer(main, row)
        if peer is not None and peer.storage.prepared == made:
            peer.storage.prepared = None
    raise Refused(f"Failed to replicate to STRICT_SYNC replicas. {ABORTED}")


async def _prepare(main: Memgraph, process: int, row: Row, made: Commit) -> bool:
    if row.status not in (RowStatus.READY, RowStatus.REPLICATING):
        return False
    silent_until_s = trio.current_time() + PREPARE_LIMIT_S
    while _is_silent(main, row) and trio.current_time() < silent_until_s:
        await trio.sleep(0.5)
        main.check(process)
    await trio.sleep(main.peers.rpc_s)
    main.check(process)
    peer = _peer(main, row)
    said_yes = peer is not None and not peer.is_hung and _accept(main, peer, made)
    voter = peer.process if peer else 0
    await trio.sleep(main.peers.rpc_s)
    main.check(process)
    # The answer is under way whatever becomes of the voter's role, but dies with its process.
    arrived = peer is not None and peer.process == voter and _is_joined(main, peer)
    if not said_yes or not arrived:
        main.mark_invalid(row)
        return False
    return True


def _accept(main: Memgraph, peer: Memgraph, made: Commit) -> bool:
    storage = peer.storage
    if not _takes_data(main, peer):
        return False
    if storage.ldt >= made.ts:
        return True  # ahead: it skips what it is sent and says yes (3.5)
    if storage.ldt != made.before:
        return False  # a predecessor is missing
    storage.prepared = made
    return True


async def _finalize(main: Memgraph, row: Row, made: Commit) -> None:
    """Phase 2; its failure is ignored, and the client gets its acknowledgement (3.3)."""
    await trio.sleep(main.peers.rpc_s)
    peer = _peer(main, row)
    if peer is not None and not peer.is_hung and _takes_data(main, peer):
        if peer.storage.prepared == made:
            peer.storage.prepared = None
            peer.storage.apply(made)
            row.ts = made.ts
            return
        if peer.storage.ldt >= made.ts:
            row.ts = peer.storage.ldt
            return
    main.lose_finalize(made.write, trio.current_time())
    main.peers.note(f"finalize of write {made.write} from {main.name} to {row.name} got lost")


async def _ship(main: Memgraph, process: int, row: Row) -> None:
    """ASYNC: some time after the acknowledgement."""
    await trio.sleep(main.peers.dice.uniform(0.002, 0.05))
    if not main.is_up or main.process != process or main.rows.get(row.name) is not row:
        return
    peer = _peer(main, row)
    if peer is None or peer.is_hung or not _takes_data(main, peer):
        main.mark_invalid(row)
        return
    _copy(main, peer, row)
    row.status = RowStatus.READY


def _copy(main: Memgraph, peer: Memgraph, row: Row) -> None:
    for made in main.storage.after(peer.storage.ldt):
        peer.storage.apply(made)
    row.ts = peer.storage.ldt


# -- checks, once a second for each main


def look_after_rows(main: Memgraph) -> None:
    """One round of the checker. A row is `invalid` after three pings without an answer; a ping has
    no UUID check, data have (3.1)."""
    for row in list(main.rows.values()):
        if row.status is RowStatus.ABSENT:
            continue
        peer = _peer(main, row)
        if peer is None or peer.is_hung:
            row.missed_pings += 1
            if row.missed_pings >= PINGS_MISSED_MAX:
                main.mark_invalid(row)
            continue
        row.missed_pings = 0
        if row.status in (RowStatus.INVALID, RowStatus.DIVERGED) and not row.is_recovering:
            compare(main, peer, row)


def compare(main: Memgraph, peer: Memgraph, row: Row) -> None:
    """A heartbeat with data: what the main thinks of the replica afterwards."""
    if not _takes_data(main, peer):
        main.mark_invalid(row)
    elif main.storage.calls_diverged(peer.storage):
        row.status = RowStatus.DIVERGED
    elif peer.storage.ldt >= main.storage.ldt:
        row.status, row.ts = RowStatus.READY, peer.storage.ldt
    else:
        row.status, row.is_recovering = RowStatus.RECOVERY, True
        main.peers.spawn(_recover, main, main.process, row)


async def _recover(main: Memgraph, process: int, row: Row) -> None:
    """The files that it misses are sent; commits that arrive meanwhile are sent at the end."""
    await trio.sleep(main.peers.dice.choice((0.01, 0.1, 0.4, 1.5)))
    row.is_recovering = False
    if not main.is_up or main.process != process or main.rows.get(row.name) is not row:
        return
    peer = _peer(main, row)
    if main.engine.locked() or peer is None or peer.is_hung or not _takes_data(main, peer):
        main.mark_invalid(row)
        return
    peer.storage.prepared = None
    _copy(main, peer, row)
    row.status = RowStatus.READY


# -- REGISTER


async def register(main: Memgraph, name: str, mode: Mode, address: str) -> None:
    """REGISTER REPLICA: steals the replica from whomever it followed. Raises Refused, Died."""
    process = main.process
    if main.role is not Role.MAIN:
        raise Refused("Replica can't register another replica!")
    if main.engine.locked():
        raise Refused(f"Couldn't register replica {name}. Error: 6")
    async with main.engine:
        row = main.add_row(name, mode, address)
        main.is_registering = True
        try:
            await _introduce(main, process, row)
        finally:
            if main.process == process:
                main.is_registering = False


async def _introduce(main: Memgraph, process: int, row: Row) -> None:
    frozen_until_s = trio.current_time() + FREEZE_S
    while _is_silent(main, row) and trio.current_time() < frozen_until_s:
        await trio.sleep(0.5)
        main.check(process)
    await trio.sleep(main.peers.rpc_s)
    await main.wait_running(process)
    peer = _peer(main, row)
    if peer is None or peer.is_hung:
        raise Refused(f"Couldn't register replica {row.name}. Error: 5")
    peer.disk.main_uuid = main.disk.main_uuid
    if peer.storage.ldt == 0:
        peer.disk.storage_uuid = main.disk.storage_uuid
    await trio.sleep(main.peers.rpc_s)
    await main.wait_running(process)
    if _takes_data(main, peer) and main.storage.calls_diverged(peer.storage):
        raise Refused(f"Couldn't register replica {row.name}. Error: 3")
    compare(main, peer, row)
