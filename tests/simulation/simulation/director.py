"""One seed from its first second to its verdict: faults by plan, safety throughout, then progress.

Promise: quiet spells are skipped by bringing the plan forward, never by stopping the product: while
the world is settled the next fault comes at once. `skipped_s` says how much that was. At the end
everything is healed but one, and the cluster has to serve or say why it does not; then that one
comes back too.
"""

import gc
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import trio
from attrs import define, field, frozen

from controller.errors import ControllerError
from gateway import GatewayError
from statemachine.invariants import InvariantViolated
from statemachine.machine import IllegalTransition

from .books import Violation
from .caretaker import Caretaker
from .cluster import Cluster
from .dice import fixed
from .injector import Injector
from .plan import Fault, Plan
from .progress import Progress
from .relay import Outcome
from .schedulers import Scheduler, by_kernel

SETTLED_S = 1.5  # without an event of the ledger, while all is well
STALLED_S = 8.0  # the same, when not all is well and no fault lasts: nobody will move
START_LIMIT_S = 60.0
PROGRESS_LIMIT_S = 120.0
LOOK_S = 0.5
TRACE_MAX = 20_000
BUGS = (
    InvariantViolated,
    IllegalTransition,
    ControllerError,
    GatewayError,
    AssertionError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    RuntimeError,
)


@frozen
class Verdict:
    """What came of one seed."""

    seed: int
    failure: str  # "" = none
    trace: tuple[str, ...] = field(repr=False)
    ran_s: float = 0.0
    skipped_s: float = 0.0
    events: int = 0
    triggers: frozenset[str] = frozenset()
    rows: frozenset[tuple[str, str, str]] = frozenset()  # (trigger, from, to) that were reached
    acked: int = 0
    unknown: int = 0
    losses_admitted: int = 0
    explained: str = ""
    faults: int = 0  # that struck; some wait for a moment that never comes
    changes: int = 0  # of the main, or of its epoch
    judged: int = 0  # statements that were held against the rules when they left
    reads: int = 0


@define(eq=False)
class Director:
    """Runs one plan."""

    plan: Plan
    cluster: Cluster
    injector: Injector
    caretaker: Caretaker
    progress: Progress
    trace: list[str]
    skipped_s: float = 0.0
    armed: list[Fault] = field(factory=list)
    _seen_events: int = 0
    _event_at_s: float = 0.0

    async def run(self) -> None:
        """Raises Violation."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self.cluster.run)
            try:
                await self._tell_the_story()
            finally:
                self.cluster.freezer.end()
            nursery.cancel_scope.cancel()

    async def _tell_the_story(self) -> None:
        if not self.plan.is_early:
            await self._until(self.progress.is_serving, START_LIMIT_S, "never became OPERATIONAL")
        await self._suffer()
        await self._recover()

    async def _suffer(self) -> None:
        at_s = 0.0
        for fault in sorted(self.plan.faults, key=lambda f: f.at_s):
            await self._pass_time(fault.at_s - at_s)
            at_s = fault.at_s
            if fault.when:
                self.armed.append(fault)
            else:
                self.injector.apply(fault)
        await self._pass_time(10.0)
        self.armed.clear()

    async def _pass_time(self, gap_s: float) -> None:
        until_s = trio.current_time() + gap_s
        while (left_s := until_s - trio.current_time()) > 0:
            await trio.sleep(min(LOOK_S, left_s))
            self._look()
            if self._is_settled():
                self.skipped_s += max(0.0, until_s - trio.current_time())
                return

    async def _recover(self) -> None:
        dead = self.plan.dead
        if dead:
            self.cluster.dead_for_good.add(dead)
        self.injector.heal_all()
        if dead:
            self._bury(dead)  # last: the end of a fault gives a node back
        await self._raise_controllers()
        if dead:
            await self._until(
                lambda: self.progress.is_whole(dead) or self.progress.explains(dead),
                PROGRESS_LIMIT_S,
                f"with {dead} dead for good it neither serves nor says why",
            )
            self._resurrect(dead)
        await self._until(
            lambda: self.progress.is_whole() or self.progress.explains(""),
            PROGRESS_LIMIT_S,
            "healed, and it neither becomes OPERATIONAL nor says why",
        )
        self.cluster.books.check_said()
        self._look()

    async def _raise_controllers(self) -> None:
        for number in range(self.cluster.shape.controllers):
            name = f"ctl-{number}"
            if name not in self.cluster.dead_for_good and self.cluster.life_of(name) is None:
                self.cluster.start_controller(name)

    def _bury(self, name: str) -> None:
        if name in self.cluster.instances.by_name:
            self.cluster.kubelet.lose_node(name)
        else:
            self.cluster.kill_controller(name)

    def _resurrect(self, name: str) -> None:
        self.cluster.dead_for_good.discard(name)
        if name in self.cluster.instances.by_name:
            self.cluster.kubelet.find_node(name)
        elif self.cluster.life_of(name) is None:
            self.cluster.start_controller(name)

    # -- looking

    def _look(self) -> None:
        """Raises Violation; arms faults that wait for an event; notes when events came."""
        books = self.cluster.books
        if books.violations:
            raise Violation(books.violations[0])
        lines, seen = books.lines, self._seen_events
        if len(lines) != seen:
            self._seen_events, self._event_at_s = len(lines), trio.current_time()

    def on_moment(self, moment: str) -> None:
        """Faults that waited for it strike now or a little later."""
        for fault in [f for f in self.armed if f.when == moment]:
            self.armed.remove(fault)
            after_s = fault.after_s
            if after_s is None:
                after_s = self.cluster.dice.choice((0.0, 0.002, 0.005, 0.01, 0.05, 0.5))
            if after_s == 0.0:
                self.injector.apply(fault)
            else:
                self.cluster.spawn(self._strike, fault, after_s)

    async def _strike(self, fault: Fault, after_s: float) -> None:
        await trio.sleep(after_s)
        self.injector.apply(fault)

    async def _until(self, is_so: Callable[[], bool], limit_s: float, otherwise: str) -> None:
        with trio.move_on_after(limit_s):
            while True:
                await trio.sleep(LOOK_S)
                self._look()
                self.caretaker.look()
                if is_so():
                    return
        head = self.cluster.books.head
        self.cluster.tell_beliefs()
        raise Violation(f"{otherwise} ({head.get('to')}, main {head.get('main')})")

    def _is_settled(self) -> bool:
        quiet_s = trio.current_time() - self._event_at_s
        if self.injector.active or quiet_s < SETTLED_S:
            return False
        return quiet_s >= STALLED_S or self.progress.is_serving()


def run_plan(plan: Plan, scheduler: Scheduler = by_kernel) -> Verdict:
    """The whole history of one plan: the same for the same plan, always, by whichever scheduler."""
    trace: list[str] = []

    def note(text: str) -> None:
        if len(trace) < TRACE_MAX:
            trace.append(f"{trio.current_time():9.3f} {text}")

    failure = ""
    with fixed(plan.seed) as dice, scheduler(plan.seed) as run:
        cluster = Cluster(dice, plan, note)
        injector = Injector(cluster)
        caretaker = Caretaker(cluster, injector.people)
        director = Director(plan, cluster, injector, caretaker, Progress(plan, cluster), trace)
        cluster.books.on_event = cluster.on_moment = director.on_moment
        times: list[float] = []
        with cluster.installed(), _without_collector():
            try:
                run(_timed(director.run, times))
            except* Violation as group:
                failure = str(_first(group))
            except* BUGS as group:
                failure = f"a controller pod ended by a bug: {_first(group)!r}"
    return _verdict(plan, director, failure, times[-1] if times else 0.0)


@contextmanager
def _without_collector() -> Iterator[None]:
    """Frozen values make few cycles: looking for them took a sixth of a run."""
    was_on = gc.isenabled()
    gc.disable()
    gc.freeze()  # what was there before is not looked through afterwards
    try:
        yield
    finally:
        if was_on:
            gc.enable()
        gc.collect()
        gc.unfreeze()


def _timed(run: Callable[[], Awaitable[None]], times: list[float]) -> Callable[[], Awaitable[None]]:
    async def timed() -> None:
        began_s = trio.current_time()
        try:
            await run()
        finally:
            times.append(trio.current_time() - began_s)

    return timed


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


def _verdict(plan: Plan, director: Director, failure: str, ran_s: float) -> Verdict:
    books = director.cluster.books
    if not failure and books.violations:
        failure = books.violations[0]
    documents = [json.loads(line) for line in books.lines]
    clients = director.cluster.clients
    return Verdict(
        seed=plan.seed,
        failure=failure,
        trace=tuple(director.trace),
        ran_s=ran_s,
        skipped_s=director.skipped_s,
        events=len(documents),
        triggers=frozenset(d["on"] for d in documents),
        rows=frozenset((d["on"], d["from"], d["to"]) for d in documents),
        acked=len(books.acked),
        unknown=sum(c.counts[Outcome.UNKNOWN] for c in clients),
        losses_admitted=books.losses_admitted,
        explained=director.progress.explained,
        faults=director.injector.applied,
        changes=sum(d["on"] == "main_promoted" for d in documents),
        judged=director.cluster.rules.checks,
        reads=director.cluster.reads(),
    )


__all__ = ["Director", "Verdict", "run_plan"]
