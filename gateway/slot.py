"""The place of one relay worker: who works there now, and what all of its lives have counted.

Promise: a worker that cannot be told something is killed, and a dead one's numbers are kept: what
it served is counted as ended, so nobody is forgotten.
"""

import signal
import subprocess

import attrs
import trio

from gateway import messages as m
from gateway.counters import Counters, lost, together
from gateway.route import Kind
from gateway.wire import Socket


@attrs.define(eq=False)
class Slot:
    """One worker, over all its lives. `socket` is None while there is none to be told.

    Attributes:
      marked: the highest mark that it said.
      counters: its own numbers, of this life; `before` those of earlier lives.
      lives: how often it was started.
      is_done: it has left, and is not started again.
    """

    listeners: dict[Kind, Socket]
    socket: Socket | None = None
    process: subprocess.Popen[bytes] | None = None
    marked: int = 0
    lives: int = 0
    is_done: bool = False
    counters: dict[Kind, Counters] = attrs.Factory(dict)
    before: dict[Kind, Counters] = attrs.Factory(dict)

    def close_listeners(self) -> None:
        """Ours; a worker that runs has its own."""
        for listener in self.listeners.values():
            listener.close()

    def tell(self, message: m.Message) -> None:
        """Send it, or end a worker that has not read for very long."""
        if self.socket is None:
            return
        try:
            self.socket.send(m.encode(message))
        except OSError:
            self.socket = None
            if self.process is not None:
                self.process.send_signal(signal.SIGKILL)

    async def bury(self, process: subprocess.Popen[bytes]) -> None:
        """Make sure that it is gone: only then its sockets are closed."""
        self.socket = None
        with trio.CancelScope(shield=True):
            process.send_signal(signal.SIGKILL)
            await trio.to_thread.run_sync(process.wait)
        self.process = None
        for kind, counters in self.counters.items():
            gone = lost(counters)
            self.before[kind] = together(self.before[kind], gone) if kind in self.before else gone
        self.counters = {}
