"""The one task that owns the state: observations in; events appended; commands and routes out.

A turn: take in everything that waits, let `decide` name the next event, append it, and only when it
is in the ledger fold it, tell the followers (gatekeeper, web), and go on; at the end hand the
commands that `plan` owes to the executor. No locks: nobody else changes what is in here.
"""

import math
import secrets
import time
from collections.abc import Callable

import structlog
import trio
from attrs import frozen

from controller.archivist import Archivist
from controller.chronicle import Chronicle
from controller.entries import entry_of
from controller.errors import ControllerError, KubeForbidden, KubeRefused, KubeUnavailable
from controller.executor import Executor
from controller.ports import StoredLedger
from statemachine.archive import archived_event, who_cannot_read
from statemachine.cluster import Cluster
from statemachine.decide import Refusal, decide
from statemachine.events import Event
from statemachine.ids import Seq
from statemachine.ledger import Ledger
from statemachine.observations import (
    CommandEnded,
    Folded,
    LeadershipChanged,
    Observation,
    ProbeAnswered,
    ProbeFailed,
    Ticked,
)
from statemachine.observe import observe
from statemachine.plan import plan
from statemachine.snapshot import Snapshot
from statemachine.view import View

log = structlog.get_logger(__name__)

INBOX_MAX = 1024  # messages that may wait: 20 s of probes
SPILLED_MAX = 256  # of what must not be dropped when the inbox is full
TICK_S = 0.25  # graces are looked at this often when nothing happens
APPEND_PAUSE_S = 0.5  # after the API server was not there
APPEND_PAUSE_LASTING_S = 5.0  # after it refused us
EVENTS_A_TURN_MAX = 32  # more in one turn is a livelock between two rules: a bug


@frozen
class LedgerSeen:
    """A picture of the ledger from the watch."""

    stored: StoredLedger | None


@frozen
class HeadRead:
    """A quorum read of the ledger. `known` is the verified copy when it was asked for; `taken` is
    called once it is folded."""

    stored: StoredLedger | None
    known: Ledger
    taken: Callable[[], None]


Message = Observation | LedgerSeen | HeadRead
Follower = Callable[[Cluster, View], None]


class Loop:
    """State of one controller pod. `followers` are called after every turn and every event with
    what is true now, `observers` with everything that is reported; they must not block. `wall`
    tells the time of people, in seconds."""

    def __init__(
        self, chronicle: Chronicle, view: View, wall: Callable[[], float] = time.time
    ) -> None:
        self.chronicle, self.view, self._wall = chronicle, view, wall
        self.refusals: tuple[Refusal, ...] = ()
        self.followers: list[Follower] = []
        self.observers: list[Callable[[Observation], None]] = []
        self.after_command: Callable[[CommandEnded], None] = lambda ended: None
        self.succeeded: Callable[[], None] = lambda: None  # another leads by the ledger
        self._barrier_of = ""  # the reign of ours whose barrier stood in the ledger last
        self.trouble = ""
        self.turned_at_s = -math.inf
        self.executor: Executor | None = None
        self.archivist: Archivist | None = None
        self._send, self._inbox = trio.open_memory_channel[Message](INBOX_MAX)
        self._spilled: tuple[Message, ...] = ()  # came while the inbox was full, in order
        self._append_due_s = -math.inf

    @property
    def cluster(self) -> Cluster:
        """The fold of the verified ledger."""
        return self.chronicle.ledger.cluster

    def report(self, message: Message) -> None:
        """Hand in an observation without waiting. When the inbox is full a probe's answer is
        dropped, for the next one follows; pictures and ends of commands, which do not come again,
        are kept beside it."""
        try:
            self._send.send_nowait(message)
        except trio.WouldBlock:
            log.warning("inbox_full", over=type(message).__name__)
            if not isinstance(message, ProbeAnswered | ProbeFailed | Ticked):
                self._spilled = (*self._spilled, message)[-SPILLED_MAX:]

    async def run(self) -> None:
        """Turns until cancelled.

        Raises:
            InvariantViolated, IllegalTransition: a bug; whoever runs this ends the process, whose
                gateways close with it.
        """
        while True:
            with trio.move_on_after(self._wait_s()):
                self._take(await self._inbox.receive())
            while True:
                try:
                    message = self._inbox.receive_nowait()
                except trio.WouldBlock:
                    break
                self._take(message)
            spilled, self._spilled = self._spilled, ()
            for message in spilled:
                self._take(message)
            self._observe(Ticked(trio.current_time(), self._wall()))
            await self.turn()

    def _wait_s(self) -> float:
        due_s = self.executor.next_due_s() if self.executor else math.inf
        return max(0.0, min(TICK_S, due_s - trio.current_time()))

    def _take(self, message: Message) -> None:
        match message:
            case LedgerSeen():
                self.chronicle.take_picture(message.stored)
            case HeadRead():
                self.chronicle.take_head(message.stored, message.known)
                self._fold()
                message.taken()
            case _:
                self._observe(message)
                for observer in self.observers:
                    observer(message)
                if isinstance(message, CommandEnded):
                    self.after_command(message)

    def _observe(self, observation: Observation) -> None:
        self.view = observe(self.view, observation)

    def _tell(self, trouble: str) -> None:
        if trouble != self.trouble:
            self.trouble = trouble
            (log.error if trouble else log.info)("ledger_access", trouble=trouble or "none")

    def _fold(self) -> None:
        """Tell the view and the followers what the ledger says now."""
        cluster = self.cluster
        self._observe(Folded(trio.current_time(), cluster.seq, cluster.term))
        self._look_for_successor(cluster)
        for follow in self.followers:
            follow(cluster, self.view)

    def _look_for_successor(self, cluster: Cluster) -> None:
        """A barrier of another behind ours: the Lease was taken from us, perhaps by a hand, and we
        have not heard. Two who went on would answer each other barrier by barrier (S9)."""
        ours, leader = _reign_of(self.view.identity), _reign_of(cluster.leader)
        if ours and leader == ours:
            self._barrier_of = ours
        elif ours and self._barrier_of == ours:
            log.warning("succeeded", by=cluster.leader, identity=ours)
            self.reign("", None)
            self.succeeded()

    async def turn(self) -> None:
        """Decide and append until nothing is due, then hand out the commands owed."""
        self.chronicle.hear(_told_by(self.view))
        self._fold()
        for _ in range(EVENTS_A_TURN_MAX):
            if not await self._decide_once():
                break
        else:
            log.error("too_many_events_in_a_turn", seq=self.cluster.seq)
        self._owe()
        self.turned_at_s = trio.current_time()

    async def _decide_once(self) -> bool:
        """Whether there may be more to decide at once."""
        if not self.view.identity or not self.chronicle.was_read:
            self.refusals = ()
            return False
        if trio.current_time() < self._append_due_s:
            return False
        if self.chronicle.trouble:
            return not self.chronicle.is_behind and await self._restore()
        if not self.cluster.seq and self.view.gateways_watched_since_s is None:
            return False  # their Leases may tell of a ledger that is gone (S16)
        decision = decide(self.cluster, self.view)
        if isinstance(decision, Event):
            return await self._append(decision)
        self.refusals = decision
        if self.chronicle.is_uncertain:
            self._new_barrier()
            return True
        return await self._archive()

    async def _archive(self) -> bool:
        """Cut off what is stored in an archive: only when nothing else is to be decided."""
        ledger = self.chronicle.ledger
        if self.archivist is None or self.view.gateways_watched_since_s is None:
            return False
        stored = self.archivist.look(ledger, who_cannot_read(self.view))
        if stored is None:
            return False
        cut, number, retired = stored.cut, stored.number, stored.retired
        event = archived_event(ledger.cluster, cut, number, retired)
        return await self._append(event, cut.base)

    async def _append(self, event: Event, cut: Snapshot | None = None) -> bool:
        try:
            appended = await self.chronicle.append(event, cut)
        except (KubeUnavailable, KubeForbidden, KubeRefused) as error:
            self._postpone(error)
            return False
        self._tell("")
        if appended:
            log.info("event", **entry_of(self.chronicle.ledger.lines[-1]).line)
        self._fold()
        return True

    def _postpone(self, error: ControllerError) -> None:
        lasting = not isinstance(error, KubeUnavailable)
        pause_s = APPEND_PAUSE_LASTING_S if lasting else APPEND_PAUSE_S
        self._append_due_s = trio.current_time() + pause_s
        self._tell(str(error))

    async def _restore(self) -> bool:
        """Write our verified copy over a broken ledger, then go on in a new term (S16). Who has
        never verified one has nothing to write: an empty history over data would adopt them."""
        if why_not := self._why_not_restored():
            self._tell(why_not)
            return False
        try:
            await self.chronicle.restore()
        except (KubeUnavailable, KubeForbidden, KubeRefused) as error:
            self._postpone(error)
            return False
        self._fold()
        if not self.view.identity:
            return False  # the Lease was lost meanwhile: who leads now begins anew
        self._new_barrier()
        return not self.chronicle.trouble

    def _why_not_restored(self) -> str:
        """Why what this pod holds is not the whole history; "" = nothing speaks against it."""
        if not self.cluster.seq:
            return "this pod has verified no entry of the ledger, and nothing to restore from"
        if (seen := _told_by(self.view)) > self.chronicle.restorable.seq:
            return f"a gateway has seen event {seen}, this pod only {self.cluster.seq}"
        if unheld := self.chronicle.unheld_seq:
            return f"event {unheld} was written, and this pod knows only {self.cluster.seq}"
        return ""

    def _new_barrier(self) -> None:
        """Begin the reign anew: the next event is a barrier, so that whatever may still land of an
        earlier write meets a newer resourceVersion (S1)."""
        identity = f"{_reign_of(self.view.identity)}+{secrets.token_hex(2)}"
        self._observe(LeadershipChanged(trio.current_time(), identity))

    def _owe(self) -> None:
        if self.executor is None:
            return
        blocked = self.chronicle.is_uncertain or bool(self.chronicle.trouble)
        self.executor.owe(() if blocked else plan(self.cluster, self.view))

    def reign(
        self, identity: str, executor: Executor | None, archivist: Archivist | None = None
    ) -> None:
        """Begin or end ("" and None) a reign; takes effect at once, without waiting."""
        self.executor, self.archivist = executor, archivist
        self._observe(LeadershipChanged(trio.current_time(), identity))
        if not identity:
            self.refusals = ()


def _told_by(view: View) -> Seq:
    """How many entries the ledger has had, as the gateways' Leases tell."""
    return max((g.facts.told_seq for g in view.gateways), default=Seq(0))


def _reign_of(identity: str) -> str:
    """Without what `_new_barrier` adds."""
    return identity.partition("+")[0]
