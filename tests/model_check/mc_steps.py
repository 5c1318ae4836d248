"""Everything that may happen next in the small world.

Promise: each step is one thing that happens to one party; parties know of each other only what was
observed. A step that changes nothing is left out. `complaint` is the sentence of a safety rule
that this very step breaks, "" when it breaks none.
"""

from collections.abc import Iterator
from typing import NamedTuple

import mc_brain as b
import mc_memgraph as mg
import mc_normal as n
from mc_brain import Brain, Decided
from mc_canon import canonical
from mc_effects import (
    Effect,
    goes_to_an_instance,
    land_late,
    perform,
    sees,
    target_of,
)
from mc_world import (
    BASE,
    MAIN,
    NOBODY,
    STRICT,
    Gate,
    Message,
    Physics,
    State,
    pair_bit,
    spend,
    with_gate,
    with_inst,
)

from statemachine import commands as c
from statemachine.observations import CommandEnded, CommandStarted, Failure, Outcome

Label = tuple[str | int, ...]


class Step(NamedTuple):
    """What happens, and the world after it."""

    label: Label
    state: State
    complaint: str = ""


class World:
    """The steps from any state. Nothing is remembered in here but answers of the verbs."""

    def __init__(self, brain: Brain, physics: Physics | None = None) -> None:
        self.brain, self.physics = brain, physics or Physics()

    def steps(self, s: State) -> Iterator[Step]:
        """All steps from this state, in normal form."""
        for step in self._all(s):
            if step.state == s and not step.complaint:
                continue
            after = canonical(self.brain, step.state, s)
            if after != s or step.complaint:
                yield Step(step.label, after, step.complaint)

    def _all(self, s: State) -> Iterator[Step]:
        if s.view >= 0:
            yield from self._look(s)
            yield from self._append(s)
            yield from self._command(s)
        elif s.view == NOBODY:
            yield Step(("elect",), s._replace(view=self.brain.fresh_view))
        yield from self._messages(s)
        yield from self._gates(s)
        yield from self._instances(s)
        yield from self._faults(s)

    # -- the leader looks

    def _look(self, s: State) -> Iterator[Step]:
        for i in range(len(s.insts)):
            yield Step(("probe", i), s._replace(view=self.probe(s, i)))
        states = tuple((inst.up, inst.proc, inst.leaving) for inst in s.insts)
        view = self.brain.see(s.view, ("pods", states), lambda: (b.pods(states),))
        yield Step(("pods",), s._replace(view=view))
        if self.brain.has_listed(s.view):
            yield Step(("gateways",), s._replace(view=self.list_gateways(s)))
            for k, gate in enumerate(s.gates):
                if gate.mute or (gate.inst == NOBODY and not gate.listed):
                    view = self.brain.think_silent(s.view, k)
                    yield Step(("silent", k), s._replace(view=view))
            if all(gate.listed or gate.inst == NOBODY for gate in s.gates):
                yield Step(("barrier",), s._replace(view=self.brain.after_barrier(s.view)))

    def probe(self, s: State, i: int) -> int:
        """The leader's view after one probe."""
        inst = s.insts[i]
        if sees(s, i):
            key = ("answer", i, inst.proc, inst.role, inst.uuid, inst.rows, len(inst.log) > 0)
            return self.brain.see(s.view, key, lambda: (b.answered(i, inst),))
        failure = Failure.SILENT if inst.up else Failure.REFUSED
        return self.brain.see(s.view, ("fail", i, failure), lambda: (b.failed(i, failure),))

    def list_gateways(self, s: State) -> int:
        """The leader's view after a list of the gateway Leases."""
        states = tuple((gate.acked, gate.mute, gate.listed) for gate in s.gates)
        return self.brain.see(s.view, ("gateways", states), lambda: (b.gateways(states),))

    # -- the leader decides

    def _append(self, s: State) -> Iterator[Step]:
        for made in self.brain.decide(s.head, s.view):
            yield self.append(s, made)

    def append(self, s: State, made: Decided) -> Step:
        """The event is in the ledger; nobody but the leader has folded it yet."""
        gates, msgs = s.gates, s.msgs
        if made.closes:
            gates = tuple(g._replace(acked=False) for g in gates)
        if made.new_route:
            gates = tuple(g._replace(outdated=True) if g.inst >= 0 else g for g in gates)
        if made.new_term:
            old = self.brain.in_old_term
            msgs = tuple(m._replace(command=old(m.command)) for m in msgs)
        after = s._replace(head=made.head, view=made.view, gates=gates, msgs=msgs)
        after, complaint = _judged(after, made)
        return Step(("event", made.trigger, made.main, made.in_haste), after, complaint)

    # -- the leader commands

    def _command(self, s: State) -> Iterator[Step]:
        busy = {m.target for m in s.msgs if m.waiting}
        for number in self.brain.plan(s.head, s.view):
            command = self.brain.commands.values[number]
            if isinstance(command, c.ListGateways):
                yield Step(("gateways",), s._replace(view=self.list_gateways(s)))
                continue
            if not goes_to_an_instance(command) or target_of(command) in busy:
                continue
            effect = perform(s, command)
            if effect is not None:
                yield Step(("command", number), self.ended(s, number, effect))
            is_slow_kind = isinstance(command, c.Demote | c.Promote | c.Register | c.Drop | c.Mark)
            if s.budget.slow and is_slow_kind and sees(s, target_of(command)):
                yield Step(("send", number), self._sent(spend(s, "slow"), number))

    def _sent(self, s: State, number: int) -> State:
        command = self.brain.commands.values[number]
        target = target_of(command)
        message = Message(number, target, s.insts[target].proc, True)
        view = self.brain.see(
            s.view, ("start", number), lambda: (CommandStarted(command, n.NOW_S),)
        )
        return s._replace(view=view, msgs=(*s.msgs, message))

    def ended(self, s: State, number: int, effect: Effect, started: bool = False) -> State:
        """The state once the leader knows how its command ended."""
        command = self.brain.commands.values[number]
        proc = s.insts[target_of(command)].proc
        end = CommandEnded(
            command,
            n.NOW_S,
            effect.outcome,
            "",
            effect.code,
            n.NOW_S,
            n.incarnation(proc),
            effect.carried,
        )
        key = ("end", number, effect.outcome, effect.code, effect.carried, proc, started)
        start = () if started else (CommandStarted(command, n.NOW_S),)
        view = self.brain.see(s.view, key, lambda: (*start, end))
        return effect.state._replace(view=self.brain.without_marking(view))

    # -- what is under way

    def _messages(self, s: State) -> Iterator[Step]:
        for k, message in enumerate(s.msgs):
            rest = s._replace(msgs=(*s.msgs[:k], *s.msgs[k + 1 :]))
            command = self.brain.commands.values[message.command]
            same = s.insts[message.target].proc == message.proc
            same = same or (self.physics.outlives and not message.waiting)
            arrives = same and sees(s, message.target)
            if message.waiting:
                yield self._given_up(rest, message)
            if arrives and message.waiting:
                yield from self._land(rest, message, command)
            elif arrives:
                label = ("late", message.command)
                yield Step(label, land_late(rest, command))
                if s.budget.double:
                    yield Step(label, land_late(spend(s, "double"), command))

    def _given_up(self, rest: State, message: Message) -> Step:
        after = self.ended(rest, message.command, Effect(rest, Outcome.UNKNOWN), started=True)
        if message.stage == 0:
            late = message._replace(waiting=False)
            after = after._replace(msgs=(*after.msgs, late))
        return Step(("unknown", message.command), after)

    def _land(self, rest: State, message: Message, command: c.Command) -> Iterator[Step]:
        if isinstance(command, c.Promote) and message.stage == 0:
            target = message.target
            after = mg.promote(mg.demote(rest, target), target)
            later = message._replace(stage=1)
            yield Step(("promoted", target), after._replace(msgs=(*after.msgs, later)))
            return
        effect = perform(rest, command)
        if isinstance(command, c.Promote):
            effect = Effect(mg.pin(rest, message.target))
            if rest.insts[message.target].role != MAIN:
                effect = Effect(rest, Outcome.REFUSED)
        if effect is None:
            effect = Effect(rest, Outcome.REFUSED)
        after = self.ended(rest, message.command, effect, started=True)
        yield Step(("landed", message.command), after)
        lost = Effect(effect.state, Outcome.UNKNOWN)
        after = self.ended(rest, message.command, lost, started=True)
        yield Step(("answer lost", message.command), after)

    # -- gateways and their clients

    def _gates(self, s: State) -> Iterator[Step]:
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

    # -- instances

    def _instances(self, s: State) -> Iterator[Step]:
        for i, inst in enumerate(s.insts):
            if not inst.up:
                yield self._restart(s, i)
                if inst.role == MAIN and s.budget.guard:
                    yield Step(("unguarded", i), mg.restart(spend(s, "guard"), i, guarded=False))
            elif inst.role == MAIN and inst.rows:
                yield Step(("checker", i), mg.check_rows(s, i))
            if inst.leaving and inst.up and (self.physics.torn_death or not _is_torn(s, i)):
                yield Step(("stop", i), mg.crash(s, i))

    def _restart(self, s: State, i: int) -> Step:
        """Its init container looks for a reset token first (S12)."""
        inst = s.insts[i]
        if not inst.armed:
            return Step(("restart", i), mg.restart(s, i))
        others = [x for k, x in enumerate(s.insts) if k != i and not x.wiped]
        alone = [w for w in s.book if w in inst.log and all(w not in x.log for x in others)]
        sentence = ""
        if i in self.brain.sync_set(s.head):
            sentence = f"S12: the data of instance {i} are set aside, and it is in the sync set"
        elif alone:
            sentence = f"S12: the only copy of {_write(alone[0])} is set aside"
        emptied = with_inst(s, i, mg.emptied(inst, i))
        return Step(("reset", i), mg.restart(emptied, i), sentence)

    # -- faults

    def _faults(self, s: State) -> Iterator[Step]:
        budget = s.budget
        for i, inst in enumerate(s.insts):
            if inst.up and budget.crash and (self.physics.torn_death or not _is_torn(s, i)):
                yield Step(("crash", i), mg.crash(spend(s, "crash"), i))
                if budget.disk:
                    yield Step(("disk", i), self._disk_lost(spend(spend(s, "crash"), "disk"), i))
            if inst.up and budget.leave and not inst.leaving:
                leaving = with_inst(spend(s, "leave"), i, inst._replace(leaving=True))
                yield Step(("leave", i), leaving)
        yield from self._partitions(s)
        if budget.depose and s.view >= 0:
            yield Step(("depose",), self._deposed(spend(s, "depose")))
        for k, gate in enumerate(s.gates):
            if budget.mute and not gate.mute:
                muted = Gate(acked=gate.acked, mute=True, listed=gate.listed)
                if self.physics.forwards_late:
                    muted = muted._replace(reply=gate.reply)
                yield Step(("mute", k), with_gate(spend(s, "mute"), k, muted))

    def _disk_lost(self, s: State, i: int) -> State:
        """What only this disk held is nobody's fault; what the sync set held besides is owed."""
        s = mg.crash(s, i, loses_disk=True)
        others = [s.insts[x] for x in self.brain.sync_set(s.head) if x != i]
        held = {w for inst in others if not inst.wiped for w in inst.log}
        return s._replace(book=tuple(w for w in s.book if w in held))

    def _partitions(self, s: State) -> Iterator[Step]:
        for i in range(len(s.insts)):
            if s.blind & (1 << i):
                yield Step(("seen", i), s._replace(blind=s.blind & ~(1 << i)))
            elif s.budget.blind:
                yield Step(("blind", i), spend(s, "blind")._replace(blind=s.blind | (1 << i)))
        for a in range(len(s.insts)):
            for z in range(a + 1, len(s.insts)):
                bit = pair_bit(a, z)
                if s.split & bit:
                    yield Step(("joined", a, z), s._replace(split=s.split & ~bit))
                elif s.budget.split:
                    yield Step(("split", a, z), spend(s, "split")._replace(split=s.split | bit))

    def _deposed(self, s: State) -> State:
        late = tuple(m._replace(waiting=False) for m in s.msgs if not m.stage)
        return s._replace(head=self.brain.deposed(s.head), view=NOBODY, msgs=late)


def _is_torn(s: State, i: int) -> bool:
    """Whether only this instance holds a write that was acknowledged in the finalize hole."""
    only = [w for w in s.holed if w in s.book and w in s.insts[i].log]
    others = [inst for k, inst in enumerate(s.insts) if k != i]
    return any(all(w not in inst.log for inst in others) for w in only)


def _judged(s: State, made: Decided) -> tuple[State, str]:
    """S13: an acknowledged write is on every later main, unless the verdict says that it may be
    missing; then one write may be, and the book forgets it."""
    if made.main < 0 or s.insts[made.main].wiped:
        return s, ""  # it lost its disk just now: no gateway verifies it
    held = s.insts[made.main].log
    missing = [w for w in s.book if w not in held]
    allowed = 0 if made.verdict == "none" else 1
    if len(missing) > allowed:
        return s, (
            f"S13: instance {made.main} is given to clients (loss verdict: {made.verdict}) "
            f"without {_write(missing[0])}"
        )
    return s._replace(book=tuple(w for w in s.book if w in held)), ""


def _write(write: int) -> str:
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
        missing = [w for w in (BASE, *s.book) if w not in inst.log]
        if serves and missing:
            return f"S13: gateway {k} serves instance {gate.inst}, which lacks {_write(missing[0])}"
    if brain.required and (lonely := [w for w in s.book if _copies(s, w) < 2]):
        return f"durability is required: one copy holds {_write(lonely[0])}"
    for member in sorted(brain.sync_set(s.head)):
        inst = s.insts[member]
        missing = [w for w in s.book if w not in inst.log and w not in s.holed]
        if missing and not inst.wiped:
            return f"S3: instance {member} is in the sync set without {_write(missing[0])}"
    return ""
