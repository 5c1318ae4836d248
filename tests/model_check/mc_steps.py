"""Everything that may happen next in the small world.

Promise: each step is one thing that happens to one party; parties know of each other only what was
observed. A step that changes nothing is left out. `complaint` is the sentence of a safety rule
that this very step breaks, "" when it breaks none.
"""

from collections.abc import Iterator

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
from mc_gates import Gateways
from mc_judge import is_torn, judged, wrongly_refused, wrongly_reset
from mc_people import asked, closed, listed
from mc_world import (
    BASE,
    MAIN,
    NOBODY,
    Gate,
    Message,
    Physics,
    State,
    Step,
    pair_bit,
    spend,
    with_gate,
    with_inst,
)

from statemachine import commands as c
from statemachine.observations import CommandEnded, CommandStarted, Failure, Outcome


class World:
    """The steps from any state. Nothing is remembered in here but answers of the verbs."""

    def __init__(self, brain: Brain, physics: Physics | None = None) -> None:
        self.brain, self.physics = brain, physics or Physics()
        self.gates = Gateways(brain, self.physics)

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
        for label, after in asked(self.brain.people, s):
            yield Step(label, after)
        yield from self._messages(s)
        yield from self.gates.steps(s)
        yield from self._instances(s)
        yield from self._faults(s)

    # -- the leader looks

    def _look(self, s: State) -> Iterator[Step]:
        for i in range(len(s.insts)):
            yield Step(("probe", i), s._replace(view=self.probe(s, i)))
        states = tuple((inst.up, inst.proc, inst.leaving) for inst in s.insts)
        view = self.brain.see(s.view, ("pods", states), lambda: (b.pods(states),))
        yield Step(("pods",), s._replace(view=view))
        if self.brain.people:
            view = self.brain.see(
                s.view, ("requests", s.asks), lambda: (listed(self.brain.people, s.asks),)
            )
            yield Step(("requests",), s._replace(view=view))
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
            counts = inst.uuid or self.brain.counts_nodes(s.head)
            nodes = mg.writes_in(inst.log) + bool(inst.uuid and BASE in inst.log)
            known = min(nodes, 1) if counts else None
            key = ("answer", i, inst.proc, inst.role, inst.uuid, inst.rows, known)
            return self.brain.see(s.view, key, lambda: (b.answered(i, inst, known),))
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
        if made.trigger == "main_appointed":  # its empty disk is what the cluster begins with
            main = self.brain.main_by_ledger(made.head)
            after = with_inst(after, main, after.insts[main]._replace(wiped=False))
        after, complaint = judged(after, made)
        if self.physics.recalls_restarts and made.trigger == "instance_refused":
            complaint = complaint or wrongly_refused(self.brain, s, made.about)
        return Step(("event", made.trigger, made.main, made.in_haste), after, complaint)

    # -- the leader commands

    def _command(self, s: State) -> Iterator[Step]:
        busy = {m.target for m in s.msgs if m.waiting}
        for number in self.brain.plan(s.head, s.view):
            command = self.brain.commands.values[number]
            if isinstance(command, c.ListGateways):
                yield Step(("gateways",), s._replace(view=self.list_gateways(s)))
                continue
            if isinstance(command, c.CloseRequest):
                yield self._close(s, command)
            if not goes_to_an_instance(command) or target_of(command) in busy:
                continue
            if self.brain.is_paused(s.head):
                yield Step(("command", number), s, "S15: a command while paused")
            effect = perform(s, command)
            if effect is not None:
                yield Step(("command", number), self.ended(s, number, effect))
            is_slow_kind = isinstance(command, c.Demote | c.Promote | c.Register | c.Drop | c.Mark)
            if s.budget.slow and is_slow_kind and sees(s, target_of(command)):
                yield Step(("send", number), self._sent(spend(s, "slow"), number))

    def _close(self, s: State, command: c.CloseRequest) -> Step:
        """The answered request is gone from everywhere, so that nobody has to remember it."""
        head, view = self.brain.without_request(s.head, s.view, command.id)
        after = closed(self.brain.people, s, command)
        return Step(("close", command.id), after._replace(head=head, view=view))

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

    # -- instances

    def _instances(self, s: State) -> Iterator[Step]:
        for i, inst in enumerate(s.insts):
            if not inst.up:
                yield self._restart(s, i)
                if inst.role == MAIN and s.budget.guard:
                    yield Step(("unguarded", i), mg.restart(spend(s, "guard"), i, guarded=False))
            elif inst.role == MAIN and inst.rows:
                yield Step(("checker", i), mg.check_rows(s, i))
            if inst.leaving and inst.up and (self.physics.torn_death or not is_torn(s, i)):
                yield Step(("stop", i), mg.crash(s, i))

    def _restart(self, s: State, i: int) -> Step:
        """Its init container looks for a reset token first (S12)."""
        inst = s.insts[i]
        if self.physics.recalls_restarts and inst.log and not inst.armed:
            s = with_inst(s, i, inst._replace(stale=max(1, inst.stale)))
        if not inst.armed:
            return Step(("restart", i), mg.restart(s, i))
        sentence = wrongly_reset(self.brain, s, i)
        emptied = with_inst(s, i, mg.emptied(inst, i))
        return Step(("reset", i), mg.restart(emptied, i), sentence)

    # -- faults

    def _faults(self, s: State) -> Iterator[Step]:
        budget = s.budget
        for i, inst in enumerate(s.insts):
            if inst.up and budget.crash and (self.physics.torn_death or not is_torn(s, i)):
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
