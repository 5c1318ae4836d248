"""The safety rules as sentences about the small world, and what each step is judged by.

Promise: looks at the world and at the ledger's word alone, never at the leader's view. "" means
that nothing is wrong.
"""

import mc_memgraph as mg
from mc_brain import Brain, Decided
from mc_world import BASE, MAIN, NOBODY, State


def is_torn(s: State, i: int) -> bool:
    """Whether only this instance holds a write that was acknowledged in the finalize hole, or whose
    acknowledgement a serving gateway is about to hand on."""
    told = {*s.book, *(gate.reply for gate in s.gates if gate.reply and not gate.mute)}
    only = [w for w in s.holed if w in told and w in s.insts[i].log]
    others = [inst for k, inst in enumerate(s.insts) if k != i]
    return any(all(w not in inst.log for inst in others) for w in only)


def judged(s: State, made: Decided) -> tuple[State, str]:
    """S13: an acknowledged write is on every later main, unless the verdict says that it may be
    missing; then one write may be, and the book forgets it."""
    if made.main < 0 or s.insts[made.main].wiped:
        return s, ""  # it lost its disk just now: no gateway verifies it
    held = s.insts[made.main].log
    missing = [w for w in s.book if w not in held]
    if len(missing) > _allowed(made.verdict):
        return s, (
            f"S13: instance {made.main} is given to clients (loss verdict: {made.verdict}) "
            f"without {write_name(missing[0])}"
        )
    return s._replace(book=tuple(w for w in s.book if w in held)), ""


def _allowed(verdict: str) -> int:
    """How many acknowledged writes the ledger says may be missing."""
    if verdict.startswith("unknown"):
        return 1_000_000
    return 0 if verdict == "none" else 1


def write_name(write: int) -> str:
    """The write, or what stands for all earlier ones."""
    return f"the acknowledged write {write}" if write else "all acknowledged writes of before"


def _copies(s: State, write: int) -> int:
    return sum(write in inst.log for inst in s.insts)


def complaint(brain: Brain, s: State) -> str:
    """The sentence of the first safety rule that does not hold in this state; "" when all do."""
    for k, gate in enumerate(s.gates):
        if gate.inst == NOBODY:
            continue
        inst = s.insts[gate.inst]
        serves = inst.up and inst.proc == gate.proc and inst.role == MAIN
        before = (BASE,) if brain.began_with_base(s.head) else ()
        missing = [w for w in (*before, *s.book) if w not in inst.log]
        if serves and missing:
            lacks = write_name(missing[0])
            return f"S13: gateway {k} serves instance {gate.inst}, which lacks {lacks}"
    if brain.required and (lonely := [w for w in s.book if _copies(s, w) < 2]):
        return f"durability is required: one copy holds {write_name(lonely[0])}"
    for member in sorted(brain.complete_by_ledger(s.head)):
        inst = s.insts[member]
        missing = [w for w in s.book if w not in inst.log and w not in s.holed]
        if missing and not inst.wiped:
            return f"S3: instance {member} is in the sync set without {write_name(missing[0])}"
    return ""


def wrongly_reset(brain: Brain, s: State, i: int) -> str:
    """What is lost when instance `i` comes back empty now (S12)."""
    inst = s.insts[i]
    others = [x for k, x in enumerate(s.insts) if k != i and not x.wiped]
    alone = [w for w in (BASE, *s.book) if w in inst.log and all(w not in x.log for x in others)]
    if i in brain.sync_set(s.head):
        return f"S12: the data of instance {i} are set aside, and it is in the sync set"
    return f"S12: the only copy of {write_name(alone[0])} is set aside" if alone else ""


def wrongly_refused(brain: Brain, s: State, i: int) -> str:
    """That an instance is refused whose data are good (F13, F14)."""
    main = s.insts[brain.main_by_ledger(s.head)]
    if main.uuid != s.insts[i].uuid or mg.is_diverged(main.log, s.insts[i].log):
        return ""
    return f"F13: instance {i} is refused although its data are good: it has to be rebuilt"
