"""Clients that write through the gateways and remember what they were told."""

from collections.abc import Callable
from contextlib import suppress
from random import Random

import trio

from gateway import Upstream
from statemachine.ids import Role

from . import replication
from .books import Books
from .memgraph import Died, Instances, Memgraph, Refused
from .plan import Plan
from .relay import Outcome, Relay, Session

READER_PATIENCE_S = 3.0
LONG = 200  # writes in a session that outlives what happens around it


class Bypasser:
    """Writes around the gateways, to whoever says MAIN. Nothing is promised to it; what it does to
    histories must not cost the others a write."""

    def __init__(self, dice: Random, instances: Instances) -> None:
        self._dice, self._instances = dice, instances

    async def run(self) -> None:
        """Until cancelled."""
        number = 0
        while True:
            await trio.sleep(1.0 + 4.0 * self._dice.random())
            instance = self._dice.choice(list(self._instances.by_name.values()))
            if instance.is_up and not instance.is_hung and instance.role is Role.MAIN:
                number -= 1  # below 0: no number of the books
                self._instances.spawn(self._write, instance, number)

    async def _write(self, instance: Memgraph, number: int) -> None:
        with suppress(Refused, Died):
            await replication.commit(instance, number)


class Client:
    """One writer: one session at a time, one write at a time."""

    def __init__(
        self,
        name: str,
        dice: Random,
        books: Books,
        relays: Callable[[], list[Relay]],
        numbers: Callable[[], int],
        plan: Plan,
    ) -> None:
        self.name, self._dice, self._books = name, dice, books
        self._relays, self._numbers = relays, numbers
        self.counts = dict.fromkeys(Outcome, 0)
        self.last_ok_s = float("-inf")
        self.pace_s, self._patience_s = plan.pace_s, plan.patience_s

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await trio.sleep(self.pace_s * self._dice.random())
            choice = self._relays()
            if choice:
                await self._use(self._dice.choice(choice))

    async def _use(self, relay: Relay) -> None:
        session = None
        with trio.move_on_after(self._patience_s):
            session = await relay.connect()
        if session is None:
            return
        for _ in range(self._dice.choice((1, 3, 10, 30, LONG))):
            write, outcome = self._numbers(), Outcome.UNKNOWN
            with trio.move_on_after(self._patience_s):
                outcome = await relay.write(session, write)
            self.counts[outcome] += 1
            if outcome is Outcome.OK:
                self.last_ok_s = trio.current_time()
                self._books.acknowledged(write, self.name, session.instance, session.term)
            if outcome is Outcome.UNKNOWN:
                break
            await trio.sleep(self.pace_s * (0.2 + self._dice.random()))
        relay.leave(session)


class Reader:
    """Reads through the RO gateways: never from somebody who could write, and never back in time
    within a session."""

    def __init__(self, dice: Random, books: Books, relays: Callable[[], list[Relay]]) -> None:
        self._dice, self._books, self._relays = dice, books, relays
        self.reads = 0

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await trio.sleep(0.2 + 0.4 * self._dice.random())
            choice = [(r, u) for r in self._relays() for u in r.readable()]
            if choice:
                await self._use(*self._dice.choice(choice))

    async def _use(self, relay: Relay, upstream: Upstream) -> None:
        session = None
        with trio.move_on_after(READER_PATIENCE_S):
            session = await relay.read_from(upstream)
        if session is None:
            return
        seen_ts = 0
        for _ in range(self._dice.choice((1, 5, 25))):
            with trio.move_on_after(READER_PATIENCE_S):
                if not await relay.read(session):
                    break
                self.reads += 1
                seen_ts = self._check(relay, session, seen_ts)
            await trio.sleep(0.3 * self._dice.random())
        relay.leave(session)

    def _check(self, relay: Relay, session: Session, seen_ts: int) -> int:
        instance = session.instance
        is_late = instance.late_process == instance.process  # the world's doing: said openly
        if instance.role is Role.MAIN and not is_late:
            self._books.violated(f"a read-only session reached {instance.name}, which is MAIN")
        if instance.storage.ldt < seen_ts:
            self._books.violated(f"a read on {instance.name} went back in time")
        return instance.storage.ldt
