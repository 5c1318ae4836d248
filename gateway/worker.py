"""The relay process: the desks of both gateways on one pump, and a packet socket to its parent.

Promise (S6, S14): the fence is looked at in this process before every write to a client whom it
concerns, by a clock that all processes share. So RW closes by itself when the parent hangs or stops
to confirm, and RO leaves those who may have become main meanwhile.
When the parent's socket ends, or says what is no message, everything is cut and the process exits.
Imports attrs and the standard library only, to stay small: see docs/performance.md.

What a newcomer gets wrong: nothing in here may wait. What the parent does not read is queued,
bounded, and the oldest news is dropped first, but never an acknowledgement.
"""

import gc
import os
import signal
import socket
import sys
import time
from collections import deque

from gateway import messages as m
from gateway.deadline import FENCED_FROM_THE_START
from gateway.decoding import decode
from gateway.desk import Desk
from gateway.errors import Malformed, StaleRoute
from gateway.pump import IN, Pump
from gateway.reasons import Ending, Refusal
from gateway.route import Kind, Upstream
from gateway.session import Session
from gateway.telling import told_of
from gateway.wire import Socket

COUNT_S = 0.25  # between two messages of counters; the parent takes their absence for a hang
OUTBOX_MAX = 1000
PACKETS_MAX = 64  # of the parent, in one turn
GARBAGE_OBJECTS = 50_000  # links leave few cycles; a collection looks at every session


class Worker:
    """Owned by the process's only thread.

    Args:
      parent: the packet socket; non-blocking.
      tells_sessions: whether each end of a session is reported, too.
    """

    def __init__(self, parent: Socket, *, tells_sessions: bool = False) -> None:
        self._parent = parent
        self._tells_sessions = tells_sessions
        self._clock = time.monotonic
        self._pump = Pump(clock=self._clock)
        self._desks: dict[Kind, Desk] = {}
        self._outbox: deque[bytes] = deque()
        self._marks: deque[int] = deque()
        self._count_at_s = 0.0
        self._is_leaving = self._is_over = False
        self._pump.watch(parent, IN, self._on_parent)

    def run(self) -> None:
        """Until the parent is gone."""
        now_s = tick_at_s = 0.0
        try:
            while not self._is_over:
                self._pump.step(max(0.0, tick_at_s - now_s))
                now_s = self._clock()
                for desk in self._desks.values():
                    if desk.questions.wanted:
                        desk.ask()
                if now_s >= tick_at_s:
                    tick_at_s = now_s + self._tick(now_s)
                if self._marks:
                    self._settle()
                if self._is_leaving and all(desk.has_left for desk in self._desks.values()):
                    self._part()
        finally:
            for desk in self._desks.values():
                desk.close()
            self._pump.close()
            self._parent.close()

    def _tick(self, now_s: float) -> float:
        """What is due; returns how long the next one may wait."""
        for desk in self._desks.values():
            desk.tick()
        if now_s >= self._count_at_s:
            self._count_at_s = now_s + COUNT_S
            for kind, desk in self._desks.items():
                self._tell(m.Counted(kind, desk.counters()))
        self._flush()
        return min((desk.tick_s for desk in self._desks.values()), default=COUNT_S)

    # ---------------------------------------------------------------- from the parent

    def _on_parent(self, _event: int) -> None:
        for _ in range(PACKETS_MAX):
            try:
                packet = self._parent.recv(m.PACKET_BYTES_MAX + 1)
            except BlockingIOError:
                return
            except OSError:
                packet = b""
            if not packet or not self._obey(packet):
                self._is_over = True
                return

    def _obey(self, packet: bytes) -> bool:
        """False when the parent makes no sense."""
        try:
            self._do(decode(packet))
        except Malformed as error:
            print(f"relay worker: {error}", file=sys.stderr, flush=True)
            return False
        return True

    def _do(self, message: m.Message) -> None:
        match message:
            case m.Open():
                self._open(message)
            case m.Mark(number):
                self._marks.append(number)
            case m.Follow(kind, route):
                try:
                    self._desk(kind).apply(route)
                except StaleRoute as error:
                    raise Malformed(str(error)) from error
            case m.Leave(until_s):
                self._is_leaving = True
                for desk in self._desks.values():
                    desk.leave(until_s)
            case m.Serve(kind, until_s):
                self._desk(kind).serve_until(until_s)
            case m.Confirm(kind, instance, incarnation, asked_at_s):
                self._desk(kind).confirm((instance, incarnation), asked_at_s)
            case _:
                raise Malformed(f"{type(message).__name__} is not for a worker")

    def _desk(self, kind: Kind) -> Desk:
        try:
            return self._desks[kind]
        except KeyError:
            raise Malformed(f"{kind.value} was not opened") from None

    def _open(self, message: m.Open) -> None:
        kind = message.kind
        if kind in self._desks:
            raise Malformed(f"{kind.value} was opened before")
        try:
            listener = Socket(fileno=message.listener)
            listener.setblocking(False)
        except OSError as error:
            raise Malformed(f"descriptor {message.listener}: {error}") from error

        desk = self._make_desk(message)
        desk.deadline.set(FENCED_FROM_THE_START)
        self._desks[kind] = desk
        desk.door.open(listener)

    def _make_desk(self, message: m.Open) -> Desk:
        kind = message.kind

        def need(upstream: Upstream) -> None:
            self._tell(m.Need(kind, upstream.instance, upstream.incarnation))
            self._flush()

        def over(session: Session, reason: Refusal | Ending) -> None:
            self._over(kind, session, reason)

        try:
            return Desk(
                kind,
                message.limits,
                need_confirmation=need,
                clock=self._clock,
                pump=self._pump,
                on_over=over if self._tells_sessions else None,
                on_trouble=lambda text: self._tell(m.Trouble(text[: m.SENTENCE_CHARS_MAX])),
            )
        except OSError as error:
            raise Malformed(f"{kind.value} cannot be opened: {error}") from error

    # ---------------------------------------------------------------- to the parent

    def _settle(self) -> None:
        """Acknowledge what has been cut: all of it, or nothing."""
        if all(desk.is_settled for desk in self._desks.values()):
            while self._marks:
                self._tell(m.Marked(self._marks.popleft()))
            self._flush()

    def _part(self) -> None:
        """Everybody is gone: tell the last numbers, as far as the parent reads them, and end."""
        self._count_at_s = 0.0
        self._tick(self._clock())
        self._is_over = True

    def _over(self, kind: Kind, session: Session, reason: Refusal | Ending) -> None:
        if len(self._outbox) >= OUTBOX_MAX // 2:
            return  # half of the room is for what others wait for
        self._tell(told_of(kind, session, reason, self._clock()))

    def _tell(self, message: m.Message) -> None:
        if len(self._outbox) >= OUTBOX_MAX:
            self._is_over = True  # nobody has read for minutes
            return
        self._outbox.append(m.encode(message))

    def _flush(self) -> None:
        while self._outbox:
            try:
                self._parent.send(self._outbox[0])
            except BlockingIOError:
                return
            except OSError:
                self._is_over = True
                return
            self._outbox.popleft()


def main() -> None:
    """`python -m gateway.worker DESCRIPTOR [sessions]`, started by `gateway.workers` only."""
    for number in (signal.SIGINT, signal.SIGTERM):  # of a terminal, or to a whole group
        signal.signal(number, signal.SIG_IGN)  # the parent decides, and ends us
    parent = socket.socket(fileno=int(sys.argv[1]))
    os.set_inheritable(parent.fileno(), False)
    parent.setblocking(False)
    worker = Worker(parent, tells_sessions="sessions" in sys.argv[2:])
    gc.freeze()
    gc.set_threshold(GARBAGE_OBJECTS, 20, 100)
    worker.run()


if __name__ == "__main__":
    main()
