"""What would be decided, commanded and lost, if something broke now: the same pure functions that
run the cluster, in an imagined world.

Promise: no effect of any kind. What a newcomer gets wrong: a step is no promise. In the imagined
world every command succeeds at once; the real one may be late, or break once more half-way.
"""

import re

from attrs import fields, frozen

from statemachine.cluster import Cluster
from statemachine.commands import Command
from statemachine.decide import Refusal, decide
from statemachine.edits import change
from statemachine.events import Event
from statemachine.evolve import evolve
from statemachine.imagined import Supposition, World
from statemachine.observations import CommandStarted, Folded, Observation, Outcome
from statemachine.observe import observe
from statemachine.plan import plan
from statemachine.route import route
from statemachine.view import View

TICK_S = 0.25
QUIET_S = 20.0  # longer than every grace of the rules: after that nothing more will come
HORIZON_S = 120.0
STEPS_MAX = 200  # of a world that never comes to rest


@frozen
class Step:
    """One thing that would happen, `after_s` seconds from now. `facts`: guard and what it saw."""

    after_s: float
    kind: str  # "event" | "command"
    what: str
    why: str
    facts: tuple[tuple[str, str], ...] = ()


@frozen
class Foresight:
    """The answer. `writes_gap_s`: for how long nobody could write, in steps of TICK_S; None: for
    good."""

    before: Cluster
    after: Cluster
    steps: tuple[Step, ...]
    refusals: tuple[Refusal, ...]
    writes_gap_s: float | None
    is_at_rest: bool

    @property
    def changes_main(self) -> bool:
        """Whether somebody would be appointed anew."""
        return self.after.main_term != self.before.main_term

    @property
    def verdict(self) -> str:
        """Whether acknowledged writes may be missing afterwards; "" while no main changed."""
        return self.after.verdict if self.changes_main else ""


def unknown_names(view: View, supposed: Supposition) -> tuple[str, ...]:
    """Who is supposed to break and is not known here."""
    known = {i.instance for i in view.instances} | {p.name for p in view.controllers} | {view.me}
    return tuple(sorted(supposed.names - known))


def foresee(cluster: Cluster, view: View, supposed: Supposition) -> Foresight:
    """Play on until nothing happens any more, as the leader that `view` belongs to; a standby is
    taken for the leader, with its own, less complete view."""
    seer = _Seer(cluster, change(view, identity=cluster.leader or view.identity), supposed)
    seer.play()
    gap_s = seer.gap_s if seer.may_write() else None
    is_at_rest = seer.quiet_s >= QUIET_S
    return Foresight(cluster, seer.cluster, tuple(seer.steps), seer.refusals, gap_s, is_at_rest)


class _Seer:
    """The loop of a controller without its surroundings."""

    def __init__(self, cluster: Cluster, view: View, supposed: Supposition) -> None:
        self.cluster, self._begin_s = cluster, view.now_s
        self._view, self._world = view, World(view, supposed)
        self._told: set[Command] = set()
        self.steps: list[Step] = []
        self.refusals: tuple[Refusal, ...] = ()
        self.quiet_s = self.gap_s = 0.0

    def play(self) -> None:
        """Turn after turn."""
        while self.quiet_s < QUIET_S and self._world.now_s - self._begin_s < HORIZON_S:
            before = len(self.steps)
            self._turn()
            is_quiet = len(self.steps) == before
            self.quiet_s = self.quiet_s + TICK_S if is_quiet else 0.0
            self.gap_s += 0.0 if self.may_write() else TICK_S
            if len(self.steps) >= STEPS_MAX:
                return

    def may_write(self) -> bool:
        """Whether a client of the RW gateway would be served now."""
        to = route(self.cluster, self._view).main
        return to is not None and self._world.takes_writes(to)

    def _turn(self) -> None:
        self._observe(self._world.pass_time(TICK_S))
        for seen in self._world.look(self.cluster.seq, self.cluster.term):
            self._observe(seen)
        self._decide()
        for command in plan(self.cluster, self._view):
            self._carry_out(command)

    def _decide(self) -> None:
        while len(self.steps) < STEPS_MAX:
            decision = decide(self.cluster, self._view)
            if not isinstance(decision, Event):
                self.refusals = decision
                return
            self.cluster = evolve(self.cluster, decision)
            self._note("event", decision.trigger, decision.why, decision.facts)
            self._observe(Folded(self._world.now_s, self.cluster.seq, self.cluster.term))

    def _carry_out(self, command: Command) -> None:
        self._observe(CommandStarted(command, self._world.now_s))
        ended, beside = self._world.carry_out(command)
        for seen in beside:
            self._observe(seen)
        self._observe(ended)
        if ended.outcome is not Outcome.UNREACHABLE and command not in self._told:
            self._told.add(command)  # what is owed again and again is told once
            why = "" if ended.outcome is Outcome.DONE else ended.outcome.value
            self._note("command", words_of(command), why)

    def _note(
        self, kind: str, what: str, why: str, facts: tuple[tuple[str, str], ...] = ()
    ) -> None:
        after_s = round(self._world.now_s - self._begin_s, 3)
        self.steps.append(Step(after_s, kind, what, why, facts))

    def _observe(self, seen: Observation) -> None:
        self._view = observe(self._view, seen)


def words_of(command: Command) -> str:
    """The command for people: its kind, then what it is about."""
    kind = re.sub(r"(?<!^)(?=[A-Z])", " ", type(command).__name__).lower()
    about = {f.name: getattr(command, f.name) for f in fields(type(command))}
    about.pop("term", None)
    said = (
        ", ".join(v) if isinstance(v, tuple) else getattr(v, "value", v) for v in about.values()
    )
    return " ".join([kind, *(str(word) for word in said if word != "")])
