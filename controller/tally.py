"""What one process counted since it began: for the metrics, and for nothing else.

Promise: every pod counts every entry of the ledger that it folds, leader or not, so that a change
of leader loses no count; nothing here is ever looked at by a decision. Labels are words of closed
lists. What a newcomer gets wrong: a step's duration is taken from the times in the ledger, which
the leaders wrote; only `detected` is what this pod saw by its own clock.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable

from attrs import define, field

from controller.entries import NewEntries, NewEntry, between_s
from gateway.histogram import Histogram
from statemachine import events as e
from statemachine.cluster import Cluster
from statemachine.commands import Command
from statemachine.decide import Refusal
from statemachine.facts import stray_mains
from statemachine.ids import Instance, Phase
from statemachine.ledger import Ledger
from statemachine.observations import CommandEnded, Observation, ProbeAnswered, ProbeFailed
from statemachine.requests import KINDS
from statemachine.view import View

STEP_BOUNDS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
PROBE_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
COMMAND_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 45.0)

CHANGES = ("failover", "forced", "switchover", "renewal")
REASON_OF = (
    ("the main refuses connections", "main_refuses"),
    ("the main is silent", "main_silent"),
    ("the main came back as REPLICA", "main_is_replica"),
    ("the main lost its data", "foreign_storage"),
    ("the main has no working row", "row_missing"),
)
AHEAD = "is ahead of the main"
REASONS = (*(word for _, word in REASON_OF), "replica_ahead", "forced", "other")
VERDICTS = ("none", "at_most_one", "up_to_n", "unknown")
OUTCOMES = (*VERDICTS, "no_candidate", "abandoned")
GRANTING = {
    e.SwitchoverStarted: "switchover",
    e.FailoverForced: "failover",
    e.Paused: "pause",
    e.Resumed: "resume",
    e.PolicyChanged: "durability",
    e.ObservingChanged: "observe",
    e.ResetOrdered: "reinit",
    e.CooldownLifted: "acknowledge",
}
OTHER = "other"  # a free text never becomes a label


def reason_word(cause: str) -> str:
    """The label for why a main was given up."""
    if AHEAD in cause:
        return "replica_ahead"
    return next((word for text, word in REASON_OF if cause.startswith(text)), OTHER)


def verdict_word(verdict: str) -> str:
    """The label for a loss verdict; a cluster without a change of main has lost nothing."""
    starts = (("none", "none"), ("at most 1", "at_most_one"), ("up to", "up_to_n"))
    if not verdict:
        return "none"
    return next((word for text, word in starts if verdict.startswith(text)), "unknown")


def command_word(command: Command) -> str:
    """`list_gateways` for ListGateways."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", type(command).__name__).lower()


@define(eq=False)
class _Change:
    """A change of main that this process saw begin. `opens`: the term whose route is awaited;
    `awaited`: the steps that end it."""

    kind: str
    reason: str
    decided_at: str
    opens: int = 0
    awaited: set[str] = field(factory=lambda: {"opened", "redundant"})


def _histograms(bounds: tuple[float, ...]) -> Callable[[], defaultdict[tuple[str, ...], Histogram]]:
    return lambda: defaultdict(lambda: Histogram(bounds))


@define(eq=False)
class Tally:
    """Owned by the loop, which calls `follow` and `observed`. Keys are label values.

    Args:
        entries: the entries that this process folds.
        refused: what the leader refuses now.
        opened: term and wall time in which this pod's read/write gateway opened last.
    """

    _entries: NewEntries
    _refused: Callable[[], tuple[Refusal, ...]]
    _opened: Callable[[], tuple[int, str]]
    events: Counter[str] = field(factory=Counter)
    changes: Counter[str] = field(factory=Counter)
    failovers: Counter[tuple[str, ...]] = field(factory=Counter)
    refusals: Counter[tuple[str, ...]] = field(factory=Counter)
    requests: Counter[tuple[str, ...]] = field(factory=Counter)
    probes: Counter[tuple[str, ...]] = field(factory=Counter)
    commands: Counter[tuple[str, ...]] = field(factory=Counter)
    strays: Counter[str] = field(factory=Counter)
    step_s: defaultdict[tuple[str, ...], Histogram] = field(factory=_histograms(STEP_BOUNDS_S))
    probe_s: defaultdict[tuple[str, ...], Histogram] = field(factory=_histograms(PROBE_BOUNDS_S))
    command_s: defaultdict[tuple[str, ...], Histogram] = field(
        factory=_histograms(COMMAND_BOUNDS_S)
    )
    _change: _Change | None = None
    _refused_before: frozenset[tuple[str, str, str]] = frozenset()
    _strays_before: frozenset[Instance] = frozenset()

    def follow(self, cluster: Cluster, view: View) -> None:
        """A follower of the loop: what is new in the ledger and in what is seen."""
        for new in self._entries.take():
            self._count(new, view)
        self._count_opening()
        self._count_refusals()
        strays = frozenset(stray_mains(cluster, view))
        self.strays.update(strays - self._strays_before)
        self._strays_before = strays

    def observed(self, observation: Observation) -> None:
        """What came in from outside."""
        match observation:
            case ProbeAnswered(instance=instance):
                self.probes[instance, "answered"] += 1
                self.probe_s[instance,].add(observation.at_s - observation.asked_at_s)
            case ProbeFailed(instance=instance, failure=failure):
                self.probes[instance, failure.value] += 1
            case CommandEnded(command=command, outcome=outcome):
                word = command_word(command)
                self.commands[word, outcome.value] += 1
                self.command_s[word,].add(observation.at_s - observation.started_at_s)
            case _:
                pass

    def _count(self, new: NewEntry, view: View) -> None:
        entry, payload = new.entry, new.entry.event.payload
        self.events[entry.event.trigger] += 1
        self._count_answer(payload)
        match payload:
            case e.MainLost(candidate=None):
                self.failovers[reason_word(payload.cause), "no_candidate"] += 1
            case e.MainLost():
                self._change = _Change("failover", reason_word(payload.cause), entry.at)
                self._add_detection(entry.main, view)
            case e.FailoverForced():
                self._change = _Change("forced", "forced", entry.at)
            case e.SwitchoverStarted():
                self._change = _Change("switchover", "", entry.at)
            case e.RenewalStarted():
                self._change = _Change("renewal", "", entry.at)
            case e.MainFenced():
                self._step("fenced", entry.at)
            case e.CandidateLost(candidate=None):
                self._abandon()
            case e.MainPromoted(verdict=verdict):
                self._promoted(verdict, entry.at, int(entry.term))
            case _:
                pass
        if entry.event.dest is Phase.OPERATIONAL:
            self._end("redundant", entry.at)

    def _add_detection(self, main: Instance | None, view: View) -> None:
        """From the first unanswered probe to the decision, where there was one."""
        since_s = view.instance(main).failing_since_s if main else None
        if since_s is not None:
            self.step_s["failover", "detected"].add(max(0.0, view.now_s - since_s))

    def _step(self, step: str, at: str) -> None:
        change = self._change
        after_s = between_s(change.decided_at, at) if change is not None else None
        if change is not None and after_s is not None:
            self.step_s[change.kind, step].add(max(0.0, after_s))

    def _end(self, step: str, at: str) -> None:
        """One of the two steps that a change of main ends with, in any order."""
        if self._change is None or not self._change.opens or step not in self._change.awaited:
            return
        self._step(step, at)
        self._change.awaited.discard(step)
        self._change = self._change if self._change.awaited else None

    def _promoted(self, verdict: str, at: str, term: int) -> None:
        self._step("promoted", at)
        if self._change is None:
            return  # a fresh cluster's first main, or a change that began before this process
        self._change.opens = term
        self.changes[self._change.kind] += 1
        if self._change.reason:
            self.failovers[self._change.reason, verdict_word(verdict)] += 1

    def _abandon(self) -> None:
        if self._change is not None and self._change.reason:
            self.failovers[self._change.reason, "abandoned"] += 1
        self._change = None

    def _count_opening(self) -> None:
        term, at = self._opened()
        if self._change is not None and self._change.opens == term:
            self._end("opened", at)

    def _count_refusals(self) -> None:
        now = frozenset((r.trigger, r.guard, r.candidate) for r in self._refused())
        self.refusals.update((trigger, guard) for trigger, guard, _ in now - self._refused_before)
        self._refused_before = now

    def _count_answer(self, payload: e.Payload) -> None:
        if isinstance(payload, e.RequestRefused):
            kind = payload.kind if payload.kind in KINDS else OTHER
            self.requests[kind, "refused"] += 1
        elif getattr(payload, "request", ""):
            self.requests[GRANTING.get(type(payload), OTHER), "granted"] += 1


def idle_tally() -> Tally:
    """One that nothing ever comes to."""
    return Tally(NewEntries(_NoHistory()), tuple, lambda: (0, ""))


class _NoHistory:
    """Of a process that never reads a ledger."""

    ledger = Ledger()
    was_read = False
