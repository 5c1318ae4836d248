"""Progress: once faults stop, clients can write again, from every state that was found.

Promise: a healing run uses no step that the search does not have, only in a fixed order: news
first, then what is decided without haste, then what is owed, and when nothing else is left what is
decided because a grace is over. It ends where clients can write, or it tells where it is stuck.
What a newcomer gets wrong: one instance may be dead for good, and if nobody else holds every
acknowledged write, being closed is the right end.
"""

from collections.abc import Iterator

from attrs import define, field
from mc_memgraph import can_commit
from mc_steps import World
from mc_world import MAIN, NOBODY, Budget, Label, State, Step, with_inst

from statemachine.ids import Phase

ORDER = (
    "stop",
    "seen",
    "joined",
    "late",
    "landed",
    "promoted",
    "unmute",
    "restart",
    "reset",
    "elect",
    "pods",
    "requests",
    "close",
    "probe",
    "checker",
    "follow",
    "notice",
    "open",
    "reply",
    "gateways",
    "silent",
    "barrier",
    "event",
    "command",
    "abort",
    "haste",
)
RANK = {kind: k for k, kind in enumerate(ORDER)}
STEPS_MAX = 400


@define(eq=False)
class Healing:
    """Remembers which states are known to come right, with `dead` (NOBODY: none) gone for good.

    An instance whose data the main refuses is left alone, for resets are off in the small world:
    then DEGRADED, with writes open, is the right end.
    """

    world: World
    dead: int = NOBODY
    good: set[State] = field(factory=set)
    unsaid: dict[Phase, State] = field(factory=dict)
    """One state for each phase that ends closed, rightly, and does not say who must come back."""

    def stuck(self, state: State) -> list[tuple[Label, State]]:
        """The steps until nothing happens any more, or the same again; empty: it came right."""
        state = self._quiet(state)
        path: list[tuple[Label, State]] = [(("quiet",), state)]
        seen = {state}
        while not (state in self.good or self._is_right(state)):
            step = self._next(state)
            if step is None or step.state in seen or len(path) > STEPS_MAX:
                return path if step is None else [*path, (step.label, step.state)]
            state = step.state
            seen.add(state)
            path.append((step.label, state))
        self.good.update(seen)
        return []

    def _quiet(self, state: State) -> State:
        """The same state without faults to come, and with the dead one dead."""
        writes = state.budget.writes + 2
        state = state._replace(budget=Budget(writes=writes, crash=0))
        if self.dead != NOBODY:
            state = with_inst(state, self.dead, state.insts[self.dead]._replace(up=False))
        return state

    def _is_right(self, state: State) -> bool:
        cluster = self.world.brain.clusters.values[state.head]
        main = self.world.brain.main_for_clients(state.head)
        if main == NOBODY or all(gate.inst == NOBODY for gate in state.gates):
            return self._is_rightly_closed(state)
        if self.dead == NOBODY and cluster.phase is not Phase.OPERATIONAL and not cluster.refused:
            return False
        served = all(gate.inst == main for gate in state.gates)
        inst = state.insts[main]
        same = all(gate.proc == inst.proc for gate in state.gates)
        is_writable = inst.up and inst.role == MAIN and not can_commit(state, main)
        return served and same and is_writable

    def _is_rightly_closed(self, state: State) -> bool:
        """The dead one was the last safe copy: it has to come back."""
        if self.dead == NOBODY:
            return False
        safe = {i for i in self.world.brain.sync_set(state.head) if not state.insts[i].wiped}
        if not safe <= {self.dead} or self._next(state) is not None:
            return False
        cluster = self.world.brain.clusters.values[state.head]
        if not cluster.is_main_lost:
            self.unsaid.setdefault(cluster.phase, state)
        return True

    def _next(self, state: State) -> Step | None:
        usable = [(self._rank(step.label), k, step) for k, step in enumerate(self._usable(state))]
        return min(usable, default=(0, 0, None))[2]

    def _usable(self, state: State) -> Iterator[Step]:
        for step in self.world.steps(state):
            is_dead = step.label[0] in ("restart", "reset") and step.label[1] == self.dead
            if step.label[0] in RANK and not is_dead:
                yield step

    def _rank(self, label: Label) -> int:
        hasty = label[0] == "event" and label[3]
        return RANK["haste" if hasty else str(label[0])]
