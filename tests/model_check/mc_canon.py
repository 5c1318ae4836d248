"""One state of all that nobody could tell apart: names, logs and messages in their normal form."""

from mc_brain import Brain
from mc_world import BASE, CLEAN, Log, Memgraph, State


def canonical(brain: Brain, state: State, before: State | None = None) -> State:
    """The normal form; `before` is the normal state that a step has led here from, so that what
    the step did not touch need not be looked at."""
    if (
        before is None
        or state.insts is not before.insts
        or state.gates is not before.gates
        or state.book is not before.book
    ):
        state = _logs(brain, state)
    if before is None or state.gates is not before.gates or state.view != before.view:
        state = _gateways(brain, state)
    if state.msgs:
        state = _messages(brain, state)
    touched = before is None or state.view != before.view or state.head != before.head
    if touched or before is None or state.insts is not before.insts or state.msgs != before.msgs:
        state = _gens(brain, state)
    return state


def _gateways(brain: Brain, state: State) -> State:
    """Gateways are interchangeable: no verb looks at their names but to tell them apart. They stand
    in order, and with them what the leader believes of each; alike, by the smaller view."""
    one, other = state.gates
    if state.view < 0:
        return state if one <= other else state._replace(gates=(other, one))
    if one < other:
        return state
    view = brain.with_gateways_swapped(state.view)
    if one > other:
        return state._replace(gates=(other, one), view=view)
    return state if state.view <= view else state._replace(view=view)


def _messages(brain: Brain, state: State) -> State:
    """What is late dies with the process that it was sent to."""
    kept = [
        m for m in state.msgs if m.waiting or brain.outlives or m.proc == state.insts[m.target].proc
    ]
    return state._replace(msgs=tuple(sorted(kept)))


# -- logs

Ints = tuple[int, ...]
Books = tuple[tuple[Log, ...], Ints, Ints, Ints, Ints]
"""Logs, book, holed, replies, poisons."""


def _logs(brain: Brain, state: State) -> State:
    """What all copies begin with is BASE; writes and epochs are counted from 1."""
    logs = tuple([inst.log for inst in state.insts])
    replies = tuple([gate.reply for gate in state.gates])
    poisons = tuple([inst.poison for inst in state.insts])
    books = (logs, state.book, state.holed, replies, poisons)
    normal = brain.normal_books.get(books)
    if normal is None:
        normal = brain.normal_books[books] = _normal_books(books)
    if normal == books:
        return state
    insts = tuple(
        inst if inst.log == log and inst.poison == poison else inst._replace(log=log, poison=poison)
        for inst, log, poison in zip(state.insts, normal[0], normal[4], strict=True)
    )
    gates = tuple(
        gate if gate.reply == reply else gate._replace(reply=reply)
        for gate, reply in zip(state.gates, normal[3], strict=True)
    )
    return state._replace(insts=insts, book=normal[1], holed=normal[2], gates=gates)


def _normal_books(books: Books) -> Books:
    logs, book, holed, replies, poisons = books
    shared = _shared(logs)
    gone = set(logs[0][:shared])
    last = next((item for item in reversed(logs[0][:shared]) if item < 0), BASE)
    logs = tuple((BASE, *log[shared:]) if shared else log for log in logs)
    used = {item for log in logs for item in log} | {*book, *replies}
    used -= gone | {BASE}
    plus = {item: k + 1 for k, item in enumerate(sorted(x for x in used if x > 0))}
    minus = {item: -k - 1 for k, item in enumerate(sorted((x for x in used if x < 0), key=abs))}
    names = {BASE: BASE, **plus, **minus}
    return (
        tuple(tuple(names[item] for item in log) for log in logs),
        tuple(sorted(names[w] for w in book if w not in gone)),
        tuple(sorted(names[w] for w in holed if (w in book or w in replies) and w not in gone)),
        tuple(names[w] if w not in gone else 0 for w in replies),
        tuple(_poison(p, last, shared, names) for p in poisons),
    )


def _poison(epoch: int, last: int, shared: int, names: dict[int, int]) -> int:
    """What an epoch in which somebody restarted is called now; CLEAN when nobody is in it."""
    if epoch == CLEAN or not shared:
        return epoch if epoch == CLEAN else names.get(epoch, CLEAN)
    if epoch == last:
        return BASE
    return CLEAN if epoch == BASE else names.get(epoch, CLEAN)


def _shared(logs: tuple[Log, ...]) -> int:
    """How many items all logs begin with; 0 when a disk is empty."""
    length = 0
    for items in zip(*logs, strict=False):
        if len(set(items)) > 1:
            break
        length += 1
    return length


# -- names of registrations


def _gens(brain: Brain, state: State) -> State:
    """Generations are counted from 1, in their order."""
    used = set(brain.gens(state.head, state.view))
    for inst in state.insts:
        for row in inst.rows:
            used.add(row.gen)
    for message in state.msgs:
        used.update(brain.gens_of_command(message.command))
    count, last = len(used), brain.generation(state.head)
    rank = sum(gen <= last for gen in used)  # below `count`: the ledger does not know all names
    if (not used or max(used) == count) and last == rank:
        return state
    gens = {gen: k + 1 for k, gen in enumerate(sorted(used))}
    head, view = brain.rename(state.head, state.view, gens, rank)
    insts = tuple(_rows_renamed(inst, gens) for inst in state.insts)
    msgs = tuple(m._replace(command=brain.rename_command(m.command, gens)) for m in state.msgs)
    return state._replace(head=head, view=view, insts=insts, msgs=msgs)


def _rows_renamed(inst: Memgraph, gens: dict[int, int]) -> Memgraph:
    if not inst.rows:
        return inst
    return inst._replace(rows=tuple(r._replace(gen=gens[r.gen]) for r in inst.rows))
