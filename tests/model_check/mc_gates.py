"""What gateways do in the small world, and their clients through them.

Promise: a gateway knows the ledger's head only when it reads it, and a main only by verifying it;
a client is told that its write is done only when the main has said so.
"""

from collections.abc import Iterator

import mc_memgraph as mg
from mc_brain import Brain
from mc_world import (
    MAIN,
    NOBODY,
    STRICT,
    Gate,
    Physics,
    State,
    Step,
    spend,
    with_gate,
)


class Gateways:
    """The steps of all gateways from any state."""

    def __init__(self, brain: Brain, physics: Physics) -> None:
        self.brain, self.physics = brain, physics

    def steps(self, s: State) -> Iterator[Step]:
        main = self.brain.main_for_clients(s.head)
        for k, gate in enumerate(s.gates):
            if gate.mute:
                yield Step(("unmute", k), with_gate(s, k, gate._replace(mute=False)))
                if gate.reply:
                    yield self._reply(s, k, gate)
                continue
            yield Step(("follow", k), with_gate(s, k, self.followed(gate, main)))
            if self.physics.acks_first:
                yield Step(("ack", k), with_gate(s, k, gate._replace(acked=True)))
            if s.budget.unlist and gate.listed:
                yield Step(
                    ("unlist", k), with_gate(spend(s, "unlist"), k, gate._replace(listed=False))
                )
            yield from self._open(s, k, gate, main)
            if gate.inst != NOBODY:
                yield from self._serve(s, k, gate)

    def followed(self, gate: Gate, main: int) -> Gate:
        """The gateway once it has folded the ledger's head: cut first, then acknowledged in a
        Lease that exists."""
        if gate.inst != NOBODY and (gate.outdated or gate.inst != main):
            gate = Gate()
        return gate._replace(acked=True, listed=True, belief=NOBODY)

    def _open(self, s: State, k: int, gate: Gate, main: int) -> Iterator[Step]:
        if gate.belief != NOBODY:
            inst = s.insts[gate.belief]
            if inst.up and inst.role == MAIN:
                opened = gate._replace(inst=gate.belief, proc=inst.proc, belief=NOBODY)
                yield Step(("reopen", k, gate.belief), with_gate(s, k, opened))
        gate = self.followed(gate, main)  # it reads the head before it asks
        if gate.inst != NOBODY or main == NOBODY or not s.insts[main].up:
            return
        inst = s.insts[main]
        if self.brain.may_use(s.head, inst.role, inst.uuid, inst.rows):
            opened = gate._replace(inst=main, proc=inst.proc)
            yield Step(("open", k, main), with_gate(s, k, opened))

    def _serve(self, s: State, k: int, gate: Gate) -> Iterator[Step]:
        inst = s.insts[gate.inst]
        same = inst.up and inst.proc == gate.proc
        if not same or not self.brain.may_use(s.head, inst.role, inst.uuid, inst.rows):
            belief = gate.inst if self.physics.no_head_read else NOBODY
            closed = Gate(acked=gate.acked, listed=gate.listed, belief=belief)
            closed = closed._replace(outdated=gate.outdated and belief != NOBODY)
            yield Step(("notice", k, gate.inst), with_gate(s, k, closed))
        if gate.reply:
            yield self._reply(s, k, gate)
        elif same and inst.role == MAIN:
            yield from self._write(s, k, gate)

    def _reply(self, s: State, k: int, gate: Gate) -> Step:
        told = with_gate(s, k, gate._replace(reply=0))
        book = tuple(sorted({*s.book, gate.reply}))
        return Step(("reply", k, gate.reply), told._replace(book=book))

    def _write(self, s: State, k: int, gate: Gate) -> Iterator[Step]:
        main = gate.inst
        known = {item for inst in s.insts for item in inst.log if item > 0}
        known |= {*s.book, *(g.reply for g in s.gates if g.reply)}
        if blocking := mg.can_commit(s, main):
            yield Step(("abort", k, main), mg.commit_failed(s, main, blocking))
            return
        if len(known) >= s.budget.writes:
            return
        write = max(known, default=0) + 1
        yield Step(("write", k, main), self._acked(mg.ship(s, main, write), k, gate, write))
        strict = sum(1 << r.replica for r in s.insts[main].rows if r.mode == STRICT)
        if strict and s.budget.hole:
            torn = mg.ship(spend(s, "hole"), main, write, skip=strict)
            torn = torn._replace(holed=tuple(sorted({*torn.holed, write})))
            yield Step(("hole", k, main), self._acked(torn, k, gate, write))
        if s.budget.crash:
            alone = mg.ship(spend(s, "crash"), main, write, skip=strict)
            yield Step(("die", k, main), mg.crash(alone, main))

    def _acked(self, s: State, k: int, gate: Gate, write: int) -> State:
        if self.physics.late_replies:
            return with_gate(s, k, gate._replace(reply=write))
        return s._replace(book=tuple(sorted({*s.book, write})))
