"""Every source of chance in one place: scheduling, ids, latencies, faults.

Promise: inside `fixed(seed)` nothing depends on anything but the seed. What a newcomer gets wrong:
trio wakes the waiters of an Event in the order of a set, so of memory addresses; only its
deterministic scheduling (sorted by a counter, then shuffled by its own dice) takes that out.
"""

import itertools
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from unittest import mock

import trio
from trio._core import _run as trio_run

import controller.chronicle
import controller.gatekeeper
import controller.memgraph.instance

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)  # wall time at virtual second 0; for people only


def wall_clock(skew_s: Callable[[], float] = lambda: 0.0) -> Callable[[], datetime]:
    """Wall time of one pod: virtual time plus its skew, which faults let jump."""
    return lambda: EPOCH + timedelta(seconds=trio.current_time() + skew_s())


def wall_text() -> str:
    """Wall time as the ledger shows it."""
    at = EPOCH + timedelta(seconds=trio.current_time())
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


POLL_EVERY = 64  # rounds: nobody but trio's own start and end waits for a real socket in here


def _seldom_polled(plain: Callable[[Any, float], Any]) -> Callable[[Any, float], Any]:
    rounds = itertools.count(1)

    def get_events(manager: Any, timeout: float) -> Any:
        return plain(manager, timeout) if next(rounds) % POLL_EVERY == 0 else []

    return get_events


@contextmanager
def fixed(seed: int) -> Iterator[Random]:
    """Everything by `seed`; yields the world's own dice."""
    dice = Random(f"world {seed}")
    ids = Random(f"ids {seed}")
    state = trio_run._r.getstate()
    trio_run._r.seed(seed)

    def token_hex(nbytes: int | None = None) -> str:
        return f"{ids.getrandbits(8 * (nbytes or 32)):0{2 * (nbytes or 32)}x}"

    manager: Any = trio_run.__dict__["TheIOManager"]  # epoll or kqueue
    polled = _seldom_polled(manager.get_events)
    patches: tuple[Any, ...] = (
        mock.patch.object(manager, "get_events", polled),
        mock.patch.object(trio_run, "_ALLOW_DETERMINISTIC_SCHEDULING", True),
        mock.patch.object(secrets, "token_hex", token_hex),
        mock.patch.object(controller.memgraph.instance, "_incarnations", itertools.count(1)),
        mock.patch.object(controller.chronicle, "utc_now", wall_text),
        mock.patch.object(controller.gatekeeper, "utc_now", wall_text),
    )
    try:
        for patch in patches:
            patch.start()
        yield dice
    finally:
        for patch in reversed(patches):
            patch.stop()
        trio_run._r.setstate(state)
