"""Announces what this pod has decided as Kubernetes Events, beside everything else.

Promise: the loop never waits for it and never hears of its failures; what does not fit is dropped
and counted. What a newcomer gets wrong: there is no retry. An announcement is old in a minute, and
the ledger has it anyway.
"""

import math
from collections.abc import Callable
from typing import Protocol

import structlog
import trio
from attrs import frozen

from controller.entries import NewEntries, NewEntry
from controller.errors import ControllerError, KubeNotFound
from controller.measures import KubeTally
from controller.notices import Notice, notice_of, trouble_notice
from controller.sieve import Sieve, Told, is_new
from statemachine.cluster import Cluster
from statemachine.view import View

log = structlog.get_logger(__name__)

QUEUE_MAX = 64
QUIET_S = 30.0  # after the API server refused us


@frozen
class Place:
    """An object to announce at. A pod is named with its UID; "" is the ledger's ConfigMap."""

    pod: str = ""
    uid: str = ""


class Board(Protocol):
    """Where Kubernetes Events are put. Both raise KubeUnavailable, KubeForbidden, KubeRefused."""

    async def post(self, place: Place, notice: Notice) -> str:
        """A new one; its name. One of the same id that stands there already is success."""

    async def repeat(self, name: str, count: int, text: str) -> None:
        """One that stands there was told again. Raises KubeNotFound when it was forgotten."""


class Announcer:
    """`follow` is called by the loop, `run` is a task of the pod.

    Args:
        board: the adapter.
        entries: the entries that this process folds.
        me: name of this pod: only what it wrote itself is announced.
        trouble: what is wrong with the stored ledger, "" = nothing.
    """

    def __init__(
        self,
        board: Board,
        entries: NewEntries,
        me: str,
        trouble: Callable[[], str],
        tally: KubeTally,
    ) -> None:
        self._board, self._entries, self._me, self._trouble = board, entries, me, trouble
        self._tally = tally
        self._send, self._receive = trio.open_memory_channel[tuple[Notice, tuple[Place, ...]]](
            QUEUE_MAX
        )
        self._sieve = Sieve()
        self._trouble_told = ""
        self._inherited: list[NewEntry] = []
        self._quiet_until_s = -math.inf
        self.failing = ""

    def inherit(self, old: NewEntry) -> None:
        """An entry of a leader that may have died before it announced it."""
        self._inherited.append(old)

    def follow(self, cluster: Cluster, view: View) -> None:
        """A follower of the loop: queues what is new, and never waits."""
        inherited, self._inherited = self._inherited, []
        for old in inherited:
            if (notice := notice_of(old)) is not None:
                self._queue(notice, view)
        for new in self._entries.take():
            notice = notice_of(new) if new.entry.by == self._me else None
            if notice is not None:
                self._queue(notice, view)
        trouble = self._trouble()
        if view.identity and trouble != self._trouble_told:
            self._trouble_told = trouble
            self._queue(trouble_notice(trouble), view)

    def _queue(self, notice: Notice, view: View) -> None:
        pods = [view.instance(name).pod for name in sorted(notice.instances)]
        places = (Place(), *(Place(pod.name, pod.uid) for pod in pods if pod is not None))
        try:
            self._send.send_nowait((notice, places))
        except trio.WouldBlock:
            self._tally.notices["dropped"] += len(places)

    async def run(self) -> None:
        """Announces until cancelled."""
        async for notice, places in self._receive:
            for place in places:
                await self._announce(notice, place)

    async def _announce(self, notice: Notice, place: Place) -> None:
        now_s = trio.current_time()
        if now_s < self._quiet_until_s or not self._sieve.may_send(now_s):
            self._tally.notices["dropped"] += 1
            return
        told = self._sieve.about(f"{place.pod}/{place.uid}", notice.reason)
        try:
            await self._tell(notice, place, told, now_s)
        except ControllerError as error:
            self._tally.notices["failed"] += 1
            self._quiet_until_s = now_s + QUIET_S
            self._note(str(error))
        else:
            self._tally.notices["sent"] += 1
            self._note("")

    async def _tell(self, notice: Notice, place: Place, told: Told, now_s: float) -> None:
        if not is_new(told, notice.text, now_s):
            unlike = told.unlike + (notice.text != told.text)
            more = f" (and {unlike} more of the kind lately)" if unlike else ""
            try:
                await self._board.repeat(told.name, told.count + 1, notice.text + more)
            except KubeNotFound:
                pass  # forgotten meanwhile: it is told anew
            else:
                told.count, told.unlike, told.at_s = told.count + 1, unlike, now_s
                return
        told.name = await self._board.post(place, notice)
        told.text, told.count, told.unlike, told.at_s = notice.text, 1, 0, now_s

    def _note(self, failing: str) -> None:
        if failing != self.failing:
            self.failing = failing
            (log.warning if failing else log.info)("kube_events", trouble=failing or "none")
