"""Clients that write through the gateways and remember what they were told."""

from collections.abc import Callable
from random import Random

import trio

from .books import Books
from .relay import Outcome, Relay

PATIENCE_S = 6.0  # then a client gives up on a session or an answer


class Client:
    """One writer: one session at a time, one write at a time."""

    def __init__(
        self,
        name: str,
        dice: Random,
        books: Books,
        relays: Callable[[], list[Relay]],
        numbers: Callable[[], int],
    ) -> None:
        self.name, self._dice, self._books = name, dice, books
        self._relays, self._numbers = relays, numbers
        self.counts = dict.fromkeys(Outcome, 0)
        self.last_ok_s = float("-inf")
        self.pace_s = 0.3

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await trio.sleep(self.pace_s * self._dice.random())
            choice = self._relays()
            if choice:
                await self._use(self._dice.choice(choice))

    async def _use(self, relay: Relay) -> None:
        session = None
        with trio.move_on_after(PATIENCE_S):
            session = await relay.connect()
        if session is None:
            return
        for _ in range(self._dice.choice((1, 3, 10, 30))):
            write, outcome = self._numbers(), Outcome.UNKNOWN
            with trio.move_on_after(PATIENCE_S):
                outcome = await relay.write(session, write)
            self.counts[outcome] += 1
            if outcome is Outcome.OK:
                self.last_ok_s = trio.current_time()
                self._books.acknowledged(write, self.name, session.instance)
            if outcome is Outcome.UNKNOWN:
                break
            await trio.sleep(self.pace_s * (0.2 + self._dice.random()))
        relay.leave(session)
