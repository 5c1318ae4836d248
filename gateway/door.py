"""The listening socket: takes clients from the kernel, and looks away when descriptors run out.

The listener is level-triggered: out of descriptors it would stay readable and the loop would
spin. So it is set aside for a moment; the clients wait in the kernel's backlog meanwhile.

What a newcomer gets wrong: closing a listener resets who is in its backlog, also who got there
between the last accept and the close. So a leaving gateway closes only when nobody comes any more;
before that it begins no handshake for a moment, and takes all that were under way.
"""

import select
from collections.abc import Callable
from typing import Any

from gateway import wire
from gateway.link import NEVER
from gateway.pump import Pump
from gateway.wire import Socket

ACCEPTS_MAX = 64  # of one turn, so that a storm of clients does not starve those being served
PAUSE_S = 0.1
QUIET_S = 0.5  # nobody came for so long: whoever sends clients here has heard that we leave
HANDSHAKES_S = 0.2  # handshakes that were begun are over after that


class Door:
    """Owns one listener from `open` to `close`."""

    def __init__(
        self, pump: Pump, clock: Callable[[], float], admit: Callable[[int, Any, float], None]
    ) -> None:
        self._pump = pump
        self._clock = clock
        self._admit = admit
        self._listener: Socket | None = None
        self._resume_at_s = NEVER
        self._came_at_s = 0.0  # a client, last
        self._closes_at_s = NEVER  # at the latest
        self._shuts_at_s = NEVER  # no handshake is begun any more

    @property
    def is_open(self) -> bool:
        """Whether new clients can connect."""
        return self._listener is not None

    def open(self, listener: Socket) -> None:
        """Take clients from this socket."""
        self._listener = listener
        self._pump.watch(listener, select.EPOLLIN, self._on_clients)

    def leave(self, now_s: float, closes_at_s: float) -> None:
        """Close once nobody has come for QUIET_S, at the latest at `closes_at_s`."""
        self._came_at_s, self._closes_at_s = now_s, closes_at_s

    def _go_on_leaving(self, listener: Socket, now_s: float) -> None:
        """Take who is in the backlog; begin to close when that was nobody, or when it is time."""
        is_last = now_s >= self._closes_at_s - HANDSHAKES_S
        if self._shuts_at_s == NEVER and not is_last and now_s < self._came_at_s + QUIET_S:
            return
        before_s = self._came_at_s
        for _ in range(wire.BACKLOG // ACCEPTS_MAX + 1):
            self._on_clients(select.EPOLLIN)
        if now_s >= self._shuts_at_s:
            self.close()
        elif self._shuts_at_s == NEVER and (is_last or self._came_at_s == before_s):
            wire.begin_no_handshake(listener)
            self._shuts_at_s = now_s + HANDSHAKES_S

    def close(self) -> None:
        """Close the listener; the kernel resets who was still in its backlog."""
        if self._listener is None:
            return
        self._pump.forget(self._listener)
        self._listener.close()
        self._listener = None
        self._resume_at_s = NEVER

    def tick(self, now_s: float) -> None:
        """Look again when the pause is over; close when it is time."""
        if self._listener is not None and self._closes_at_s < NEVER:
            self._go_on_leaving(self._listener, now_s)
        if self._listener is not None and now_s >= self._resume_at_s:
            self._resume_at_s = NEVER
            self._pump.watch(self._listener, select.EPOLLIN, self._on_clients)

    def _on_clients(self, _event: int) -> None:
        listener, now_s = self._listener, self._clock()
        for _ in range(ACCEPTS_MAX):
            if listener is None or listener is not self._listener:
                return
            try:
                client, address = wire.accept(listener)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in wire.OUT_OF_DESCRIPTORS:
                    self._pump.watch(listener, 0, self._on_clients)
                    self._resume_at_s = self._clock() + PAUSE_S
                    return
                if error.errno not in wire.CLIENT_GAVE_UP:
                    raise
            else:
                self._came_at_s = now_s
                self._admit(client, address, now_s)
