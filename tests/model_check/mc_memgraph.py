"""What Memgraph does in the small world: roles, rows, replicated commits, epochs, restarts.

Promise: the rules of the sheet of facts, no kinder: rows that say `ready` for a while, zombies
after a failed REGISTER, an acknowledgement in spite of a lost finalize, a main that accepts a
diverged replica of its own epoch. Left out: the false divergence after a restart inside an epoch
(it refuses, it loses nothing), locks, and how long things take.
"""

from itertools import count

from mc_world import (
    ABSENT,
    AHEAD,
    BASE,
    CLEAN,
    INVALID,
    MAIN,
    NOBODY,
    READY,
    REPLICA,
    STRICT,
    Log,
    Memgraph,
    Row,
    State,
    is_linked,
    with_inst,
)


def tail_epoch(log: Log) -> int:
    """The epoch in which the storage is now."""
    return next((item for item in reversed(log) if item < 0), BASE)


def writes_in(log: Log) -> int:
    """How many writes it holds beyond BASE: its last durable timestamp."""
    return sum(item > 0 for item in log)


def settled(log: Log) -> Log:
    """Without epochs that no write was made in: they do not count as history (3.5)."""
    end = len(log)
    while end and log[end - 1] < 0:
        end -= 1
    return log[:end]


def after_write(log: Log, number: int) -> Log:
    """What stands behind the `number`-th write."""
    if number == 0:
        return log[1:]
    seen = 0
    for index, item in enumerate(log):
        seen += item > 0
        if seen == number:
            return log[index + 1 :]
    return ()


def is_refused(main: Memgraph, replica: Memgraph) -> bool:
    """Whether the main says "Error 3": diverged, or taken for it (L4)."""
    own = settled(replica.log)
    is_poisoned = main.poison != CLEAN and bool(own) and tail_epoch(own) == main.poison
    return is_poisoned or is_diverged(main.log, replica.log)


def _after_commit(replica: Memgraph, log: Log) -> Memgraph:
    """The replica with this log; a commit of another epoch than its own makes a restart in that
    one harmless (L5)."""
    if replica.stale:
        same = tail_epoch(replica.log) == tail_epoch(log)
        replica = replica._replace(stale=2 if same else 0)
    return replica._replace(log=log, wiped=False)


def is_diverged(main: Log, replica: Log) -> bool:
    """Memgraph's own rule for REGISTER and for a reconnect (MEMGRAPH 3.5)."""
    if not settled(replica):
        return False
    epoch = tail_epoch(settled(replica))
    if epoch == tail_epoch(main):
        return False
    begin = main.index(epoch) if epoch in main else None
    if begin is None:
        return True
    end = next((k for k in range(begin + 1, len(main)) if main[k] < 0), len(main))
    return writes_in(main[:end]) < writes_in(replica)


def caught_up(main: Log, replica: Log) -> Log:
    """The replica's log after recovery from this main, which accepts it."""
    if not settled(replica):
        return main
    own = settled(replica)
    number = writes_in(own)
    return replica if number >= writes_in(main) else own + after_write(main, number)


def takes_orders(state: State, main: int, replica: int) -> bool:
    """Whether the replica would take data from this main right now, logs aside."""
    r = state.insts[replica]
    listens = r.up and r.role == REPLICA and r.follows == main
    return listens and is_linked(state, main, replica) and r.uuid == state.insts[main].uuid


def _accepts(state: State, main: int, row: Row) -> bool:
    """Whether the replica says yes to the next commit of this main."""
    if not takes_orders(state, main, row.replica):
        return False
    return writes_in(state.insts[row.replica].log) >= writes_in(state.insts[main].log)


def _with_status(rows: tuple[Row, ...], gens: frozenset[int], status: int) -> tuple[Row, ...]:
    return tuple(r._replace(status=status) if r.gen in gens else r for r in rows)


def ship(state: State, main: int, write: int, skip: int = 0) -> State:
    """The main commits (`write` 0: a marker, which leaves nothing) with every STRICT_SYNC replica
    that is there, `skip` (a bit mask) those whose finalize is lost. Only after `can_commit`."""
    m = state.insts[main]
    log = (*m.log, write) if write else m.log
    for row in m.rows:
        if row.mode != STRICT or row.status in (ABSENT, AHEAD) or skip & (1 << row.replica):
            continue
        r = state.insts[row.replica]
        if writes_in(r.log) > writes_in(m.log):
            continue  # it is ahead: it skips the write and says yes
        own = settled(r.log)
        filled = own + after_write(log, writes_in(own)) if own else log
        state = with_inst(state, row.replica, _after_commit(r, filled))
    return with_inst(state, main, m._replace(log=log))


def can_commit(state: State, main: int) -> frozenset[int]:
    """The rows (generations) that make a commit fail; empty: it goes through."""
    return frozenset(
        row.gen
        for row in state.insts[main].rows
        if row.mode == STRICT
        and row.status != ABSENT
        and (row.status == INVALID or not _accepts(state, main, row))
    )


def commit_failed(state: State, main: int, gens: frozenset[int]) -> State:
    """Aborted everywhere; the rows that were in the way are `invalid` now."""
    m = state.insts[main]
    return with_inst(state, main, m._replace(rows=_with_status(m.rows, gens, INVALID)))


def new_epoch(state: State) -> int:
    """An epoch that nobody has."""
    used = {item for inst in state.insts for item in inst.log if item < 0}
    return next(-number for number in count(1) if -number not in used)


def _forgotten(state: State, main: int) -> State:
    """Nobody takes orders of this main any more: its UUID is a new one."""
    for index, inst in enumerate(state.insts):
        if inst.follows == main:
            state = with_inst(state, index, inst._replace(follows=NOBODY))
    return state


def demote(state: State, index: int) -> State:
    """SET REPLICATION ROLE TO REPLICA; erases the registrations. No effect on a REPLICA."""
    inst = state.insts[index]
    if inst.role == REPLICA:
        return state
    changed = inst._replace(role=REPLICA, rows=(), follows=NOBODY)
    return with_inst(_forgotten(state, index), index, changed)


def promote(state: State, index: int) -> State:
    """SET REPLICATION ROLE TO MAIN; no registrations, a new epoch that is not pinned yet. No
    effect on a MAIN."""
    inst = state.insts[index]
    if inst.role == MAIN:
        return state
    log = (*inst.log, new_epoch(state))
    poison = tail_epoch(inst.log) if inst.stale == 2 else inst.poison
    changed = inst._replace(
        role=MAIN, rows=(), follows=NOBODY, log=log, pinned=False, stale=0, poison=poison
    )
    return with_inst(_forgotten(state, index), index, changed)


def pin(state: State, index: int) -> State:
    """CREATE SNAPSHOT. Epochs in which nothing was written are no history (3.5)."""
    inst = state.insts[index]
    log = (*settled(inst.log), tail_epoch(inst.log)) if inst.log[-1:] < (BASE,) else inst.log
    return with_inst(state, index, inst._replace(pinned=True, log=log))


def register(state: State, main: int, row: Row) -> tuple[State, int]:
    """REGISTER REPLICA: the state, and n of "Error: n" (0: it went through)."""
    m, r = state.insts[main], state.insts[row.replica]
    if m.role == REPLICA:
        return state, 7
    if any(x.gen == row.gen for x in m.rows):
        return state, 1
    if any(x.replica == row.replica for x in m.rows):
        return state, 2
    zombie = with_inst(state, main, m._replace(rows=(*m.rows, row._replace(status=ABSENT))))
    if not r.up or r.role == MAIN or not is_linked(state, main, row.replica):
        return zombie, 5
    r = r._replace(follows=main, uuid=r.uuid if settled(r.log) else m.uuid)
    if r.uuid == m.uuid and is_refused(m, r):
        return with_inst(zombie, row.replica, r), 3
    state = with_inst(state, row.replica, r)
    status = INVALID
    if r.uuid == m.uuid and settled(r.log) and writes_in(r.log) >= writes_in(m.log):
        status = AHEAD if writes_in(r.log) > writes_in(m.log) else READY
    return with_inst(state, main, m._replace(rows=(*m.rows, row._replace(status=status)))), 0


def drop(state: State, main: int, gen: int) -> State:
    """DROP REPLICA; no effect when there is no such row."""
    m = state.insts[main]
    return with_inst(state, main, m._replace(rows=tuple(r for r in m.rows if r.gen != gen)))


def check_rows(state: State, main: int) -> State:
    """One round of the main's checker: who is gone is `invalid`, who is back recovers. A replica
    that answers pings stays `ready`, whoever it follows and whatever it holds (L7)."""
    for row in state.insts[main].rows:
        if row.status == ABSENT:
            continue
        m, r = state.insts[main], state.insts[row.replica]
        answers = r.up and r.role == REPLICA and is_linked(state, main, row.replica)
        if row.status in (READY, AHEAD) and answers and row.mode == STRICT:
            continue
        status, log = INVALID, r.log
        if takes_orders(state, main, row.replica) and not is_refused(m, r):
            log = caught_up(m.log, r.log)
            status = AHEAD if writes_in(log) > writes_in(m.log) else READY
        is_moved = bool(r.stale) and log != r.log
        filled = _after_commit(r, log) if is_moved else r._replace(log=log)
        filled = filled._replace(wiped=r.wiped and BASE not in log)
        rows = _with_status(m.rows, frozenset({row.gen}), status)
        state = with_inst(with_inst(state, row.replica, filled), main, m._replace(rows=rows))
    return state


def crash(state: State, index: int, loses_disk: bool = False) -> State:
    """The process ends. A promotion that was not pinned, nor written in, is forgotten (3.5)."""
    inst = state.insts[index]
    log = inst.log
    if not inst.pinned and log and log[-1] < 0:
        log = log[:-1]
    inst = inst._replace(up=False, log=log, pinned=True)
    return with_inst(state, index, emptied(inst, index) if loses_disk else inst)


def emptied(inst: Memgraph, index: int) -> Memgraph:
    """The instance with an empty disk: a storage of its own, and nobody's replica."""
    return inst._replace(
        log=(),
        uuid=index + 1,
        rows=(),
        role=REPLICA,
        follows=NOBODY,
        wiped=True,
        armed=False,
        stale=0,
        poison=CLEAN,
    )


def restart(state: State, index: int, guarded: bool = True) -> State:
    """It is back: as REPLICA without rows if it was MAIN, thanks to the boot guard; without the
    guard as the writable MAIN that it was, zombies now being rows that block."""
    inst = state.insts[index]._replace(up=True, proc=state.insts[index].proc + 1, leaving=False)
    if inst.role == MAIN and guarded:
        inst = inst._replace(role=REPLICA, rows=(), follows=NOBODY)
    elif inst.role == MAIN:
        woken = frozenset(r.gen for r in inst.rows)
        inst = inst._replace(rows=_with_status(inst.rows, woken, INVALID))
    state = with_inst(state, index, inst)
    return _forgotten(state, index) if inst.role == REPLICA else state
