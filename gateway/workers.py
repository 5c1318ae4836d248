"""Starts the relay processes, tells them what to do, and starts them again when they end.

Promise (S6): `on_marked(n)` is called only when in every worker each session has ended that a
route before that mark forbids: because it said so, or because the process is gone for good.
A worker that says nothing for HANG_S, or what is no message, is killed. Listeners belong to this
process: while a worker is down, new clients wait in the kernel.

What a newcomer gets wrong: the worker's clock is CLOCK_MONOTONIC, ours may be another. `_shared`
converts, and a pause in the middle of it makes a deadline earlier, never later.
"""

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping

import attrs
import trio

from gateway import messages as m
from gateway import wire
from gateway.counters import NOTHING, Counters, together
from gateway.decoding import decode
from gateway.errors import Malformed, StaleRoute
from gateway.launcher import Launcher
from gateway.route import Kind, Limits, Route, Upstream
from gateway.slot import Slot

HANG_S = 3.0  # a worker tells its numbers four times a second
RESTART_S = 0.05  # after a first crash; doubled with each one that follows soon
RESTART_MAX_S = 2.0
HEALTHY_S = 10.0  # a worker that lived this long begins with a short pause again
PACKETS_MAX = 64  # of one worker, before other tasks have a turn
SOCKET_BYTES = 1 << 20  # of packets that the other side has not read yet
LOOK_S = 0.02  # whether a worker has left


class Workers:
    """Relay processes that serve the same addresses.

    Args:
      limits: of each gateway; with several workers each gets its share of the clients.
      count: of processes, at least 1.
      on_need: an upstream has sessions that wait for the verifier, or has ended some by itself.
      on_marked: see the head of this file.
      on_over: see messages.Over; None: sessions are not told one by one.
      on_trouble: a sentence for people.
      clock: monotonic seconds, of every time handed in.
    """

    def __init__(
        self,
        limits: Mapping[Kind, Limits],
        count: int,
        *,
        on_need: Callable[[Kind, str, int], None],
        on_marked: Callable[[int], None],
        on_over: Callable[[m.Over], None] | None = None,
        on_trouble: Callable[[str], None] = lambda text: None,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        self._limits, self._count, self._clock = limits, count, clock
        self._on_need, self._on_marked = on_need, on_marked
        self._on_over, self._on_trouble = on_over, on_trouble
        self._launcher = Launcher()
        self._slots: list[Slot] = []
        self._routes: dict[Kind, Route] = {}
        self._until_s: dict[Kind, float] = {}  # shared clock
        self._mark = self._told_mark = 0
        self._leaving = trio.Event()

    # ---------------------------------------------------------------- told from outside

    def apply(self, kind: Kind, route: Route) -> None:
        """As Gateway.apply; that sessions were cut is told by a later mark.

        Raises:
          StaleRoute: its term is older than the present one; nothing changed.
        """
        old = self._routes.get(kind)
        if old is not None and route.term < old.term:
            raise StaleRoute(f"route of term {route.term}, present is {old.term}")
        if route.drain_until_s is not None:
            route = attrs.evolve(route, drain_until_s=self._shared(route.drain_until_s))
        route = attrs.evolve(route, reason=route.reason[: m.SENTENCE_CHARS_MAX])
        self._routes[kind] = route
        self._tell_all(m.Follow(kind, route))

    def serve_until(self, kind: Kind, deadline_s: float) -> None:
        """As Gateway.serve_until."""
        self._until_s[kind] = self._shared(deadline_s)
        self._tell_all(m.Serve(kind, self._until_s[kind]))

    def confirm(self, kind: Kind, upstream: Upstream, asked_at_s: float) -> None:
        """As Gateway.confirm."""
        at_s = self._shared(asked_at_s)
        self._tell_all(m.Confirm(kind, upstream.instance, upstream.incarnation, at_s))

    def mark(self, number: int) -> None:
        """Ask to be told when everything so far has been done; numbers only grow."""
        self._mark = max(self._mark, number)
        self._tell_all(m.Mark(self._mark))
        self._settle()

    async def leave(self, until_s: float) -> None:
        """As Gateway.leave; a worker is not started again from now on."""
        self._leaving.set()
        for slot in self._slots:
            slot.close_listeners()  # first: of what the workers close later nobody may keep a copy
        self._tell_all(m.Leave(self._shared(until_s)))
        while not all(slot.is_done for slot in self._slots):  # noqa: ASYNC110 - few, and soon over
            await trio.sleep(LOOK_S)

    def counters(self, kind: Kind) -> Counters:
        """Of all workers and all their lives; up to a quarter of a second old."""
        total = NOTHING
        for slot in self._slots:
            for part in (slot.before.get(kind), slot.counters.get(kind)):
                total = total if part is None else together(total, part)
        return total

    @property
    def pids(self) -> tuple[int, ...]:
        """Of the workers that run now."""
        return tuple(s.process.pid for s in self._slots if s.process is not None)

    @property
    def is_serving(self) -> bool:
        """Whether some worker has told its numbers in its present life."""
        return any(slot.counters for slot in self._slots)

    @property
    def restarts(self) -> int:
        """Workers that had to be started again."""
        return sum(max(0, slot.lives - 1) for slot in self._slots)

    def _shared(self, at_s: float) -> float:
        """The same moment by the clock of all processes, or a little before."""
        shared_s = time.monotonic()  # first: a pause after it makes the result earlier
        return shared_s + (at_s - self._clock())

    # ---------------------------------------------------------------- life

    async def run(
        self,
        where: Mapping[Kind, tuple[str, int]],
        *,
        task_status: trio.TaskStatus[dict[Kind, tuple[str, int]]] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Listen and relay until cancelled; reports the bound addresses. Runs once.

        Raises:
          OSError: an address cannot be bound.
        Cancellation: the workers are killed, and with them all sessions; nothing stays open.
        """
        bound = {kind: where[kind] for kind in self._limits}
        try:
            for _ in range(self._count):
                slot = Slot({})
                self._slots.append(slot)
                for kind, (host, port) in bound.items():
                    listener = wire.listen(host, port, is_shared=self._count > 1)
                    slot.listeners[kind] = listener
                    bound[kind] = listener.getsockname()[:2]
            async with trio.open_nursery() as nursery:
                for number, slot in enumerate(self._slots):
                    nursery.start_soon(self._keep, slot, number)
                task_status.started(bound)
        finally:
            for slot in self._slots:
                slot.close_listeners()

    async def _keep(self, slot: Slot, number: int) -> None:
        pause_s = RESTART_S
        while not self._leaving.is_set():
            began_s = time.monotonic()
            why = await self._live(slot, number)
            if self._leaving.is_set():
                break
            if time.monotonic() - began_s >= HEALTHY_S:
                pause_s = RESTART_S
            self._on_trouble(f"relay worker {number} {why}")
            await trio.sleep(pause_s)
            pause_s = min(pause_s * 2, RESTART_MAX_S)
        slot.is_done = True

    async def _live(self, slot: Slot, number: int) -> str:
        """One life of a worker; returns how it ended."""
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError as error:
            return f"could not be started: {error}"
        with ours:
            with theirs:
                for end in (ours, theirs):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BYTES)
                ours.setblocking(False)
                try:
                    process = await self._launch(slot, theirs)
                except OSError as error:
                    return f"could not be started: {error}"
            slot.process, slot.socket = process, ours
            slot.lives += 1
            try:
                if self._leaving.is_set():
                    return "came too late"
                self._brief(slot, number)
                return await self._listen(slot, ours)
            finally:
                await slot.bury(process)
                self._settle()

    async def _launch(self, slot: Slot, theirs: socket.socket) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-m", "gateway.worker", str(theirs.fileno())]
        if self._on_over is not None:
            words.append("sessions")
        descriptors = (theirs.fileno(), *(s.fileno() for s in slot.listeners.values()))
        return await self._launcher.start(words, descriptors)

    def _brief(self, slot: Slot, number: int) -> None:
        """Everything that a new worker has to know; no session of it is older than this."""
        for kind, limits in self._limits.items():
            share = self._share(limits.connections_max, number)
            hold = self._share(limits.hold_max, number)
            own = attrs.evolve(limits, connections_max=share, hold_max=hold)
            slot.tell(m.Open(kind, slot.listeners[kind].fileno(), own))
            if kind in self._until_s:
                slot.tell(m.Serve(kind, self._until_s[kind]))
            if kind in self._routes:
                slot.tell(m.Follow(kind, self._routes[kind]))
        slot.tell(m.Mark(self._mark))

    def _share(self, whole: int, number: int) -> int:
        return whole // self._count + (number < whole % self._count)

    async def _listen(self, slot: Slot, ours: socket.socket) -> str:
        """Until it ends or has to; returns why."""
        while True:
            with trio.move_on_after(HANG_S):
                await trio.lowlevel.wait_readable(ours)
            heard = 0
            try:
                while heard < PACKETS_MAX and (packet := ours.recv(m.PACKET_BYTES_MAX + 1)):
                    self._hear(slot, decode(packet))
                    heard += 1
            except BlockingIOError:
                if not heard:
                    return f"said nothing for {HANG_S:g} s"
            except OSError as error:
                return f"cannot be heard: {error}"
            except Malformed as error:
                return f"made no sense: {error}"
            else:
                if heard < PACKETS_MAX:
                    return "ended"

    def _hear(self, slot: Slot, message: m.Message) -> None:
        match message:
            case m.Counted(kind, counters) if kind in self._limits:
                slot.counters[kind] = counters
            case m.Need(kind, instance, incarnation) if kind in self._limits:
                self._on_need(kind, instance, incarnation)
            case m.Marked(number) if number <= self._mark:
                slot.marked = max(slot.marked, number)
                self._settle()
            case m.Over() if self._on_over is not None:
                self._on_over(message)
            case m.Trouble(text):
                self._on_trouble(text)
            case _:
                raise Malformed(f"{type(message).__name__} was not expected")

    # ---------------------------------------------------------------- telling

    def _tell_all(self, message: m.Message) -> None:
        for slot in self._slots:
            slot.tell(message)

    def _settle(self) -> None:
        """Tell the mark that all have reached; who is gone has nothing left to cut."""
        alive = [slot.marked for slot in self._slots if slot.process is not None]
        reached = min([self._mark, *alive])
        if reached > self._told_mark:
            self._told_mark = reached
            self._on_marked(reached)
