"""One state of all that nobody could tell apart: names, logs and messages in their normal form."""

from mc_brain import Brain
from mc_world import BASE, Log, Memgraph, State


def canonical(brain: Brain, state: State) -> State:
    """The normal form."""
    return _gens(brain, _logs(_messages(state)))


def _messages(state: State) -> State:
    """What is late dies with the process that it was sent to."""
    if not state.msgs:
        return state
    kept = [m for m in state.msgs if m.waiting or m.proc == state.insts[m.target].proc]
    return state._replace(msgs=tuple(sorted(kept)))


# -- logs


def _logs(state: State) -> State:
    """What all copies begin with is BASE; writes and epochs are counted from 1."""
    logs = [inst.log for inst in state.insts]
    shared = _shared(logs)
    if shared == 1 and all(len(log) <= 1 for log in logs) and not state.book:
        return state
    logs = [(BASE, *log[shared:]) if log else log for log in logs]
    items = {item for log in logs for item in log}
    known = {*items, *state.book, *(gate.reply for gate in state.gates)} - {BASE}
    plus = {item: k + 1 for k, item in enumerate(sorted(x for x in known if x > 0))}
    minus = {item: -k - 1 for k, item in enumerate(sorted((x for x in items if x < 0), key=abs))}
    names = {BASE: BASE, **plus, **minus}
    insts = tuple(
        _renumbered(inst, log, names) for inst, log in zip(state.insts, logs, strict=True)
    )
    gone = {item for log in (state.insts[0].log,) for item in log[:shared]} if shared > 1 else set()
    book = tuple(sorted(names[w] for w in state.book if w not in gone))
    holed = tuple(sorted(names[w] for w in state.holed if w not in gone))
    gates = tuple(
        g._replace(reply=names[g.reply] if g.reply not in gone else 0) if g.reply else g
        for g in state.gates
    )
    return state._replace(insts=insts, book=book, holed=holed, gates=gates)


def _shared(logs: list[Log]) -> int:
    """How many items all logs begin with; 0 when a disk is empty."""
    length = 0
    for items in zip(*logs, strict=False):
        if len(set(items)) > 1:
            break
        length += 1
    return length


def _renumbered(inst: Memgraph, log: Log, names: dict[int, int]) -> Memgraph:
    renamed = tuple(names[item] for item in log)
    return inst if renamed == inst.log else inst._replace(log=renamed)


# -- names of registrations


def _gens(brain: Brain, state: State) -> State:
    """Generations are counted from 1, in their order."""
    used = set(brain.gens(state.head, state.view))
    for inst in state.insts:
        for row in inst.rows:
            used.add(row.gen)
    for message in state.msgs:
        used.update(brain.gens_of_command(message.command))
    count = len(used)
    if (not used or max(used) == count) and brain.generation(state.head) == count:
        return state
    gens = {gen: k + 1 for k, gen in enumerate(sorted(used))}
    head, view = brain.rename(state.head, state.view, gens)
    insts = tuple(_rows_renamed(inst, gens) for inst in state.insts)
    msgs = tuple(m._replace(command=brain.rename_command(m.command, gens)) for m in state.msgs)
    return state._replace(head=head, view=view, insts=insts, msgs=msgs)


def _rows_renamed(inst: Memgraph, gens: dict[int, int]) -> Memgraph:
    if not inst.rows:
        return inst
    return inst._replace(rows=tuple(r._replace(gen=gens[r.gen]) for r in inst.rows))
