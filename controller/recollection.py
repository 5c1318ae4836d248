"""What people still want to see of the entries that have moved out of the live part: the newest
ones, the last change of main, and the last failover.

Promise: every line in here was verified, as part of this process's own copy or by the chain that
leads from the live part back into an archive; nothing that acts looks at it. What a newcomer gets
wrong: a pod that saw the cut needs no archive. One that started later reads a few, backwards and
without haste, and shows less until then.
"""

from collections.abc import Callable, Sequence
from contextlib import aclosing

import structlog
import trio

from controller.archive_walk import parts_before
from controller.entries import History
from controller.errors import ControllerError
from controller.ports import LedgerArchives
from statemachine.archive import Part, follow
from statemachine.cluster import Cluster
from statemachine.codec import LedgerCorrupt, decode
from statemachine.events import Event, MainLost
from statemachine.ids import Phase
from statemachine.ledger import Ledger
from statemachine.view import View

log = structlog.get_logger(__name__)

NEWEST_MAX = 60  # as many as the live page shows
ARCHIVES_READ_MAX = 8  # back to about 1000 entries: 8 requests, once in a pod's life
PAUSE_S = 0.2  # between two archives
LOOK_EVERY_S = 1.0
RETRY_S = 60.0  # the API server has better things to do than to tell old stories


class Recollection:
    """`follow` is called by the loop, `run` is a task of the pod; `lines` are in order, with gaps,
    and end where the live part begins."""

    def __init__(self, history: History, archives: LedgerArchives | None) -> None:
        self._history, self._archives = history, archives
        self._was = Ledger()
        self._is_wanted = False
        self.lines: tuple[str, ...] = ()

    def follow(self, cluster: Cluster, view: View) -> None:
        """A follower of the loop: keeps what a cut takes out of the live part."""
        was, now = self._was, self._history.ledger
        self._was = now
        if now.base_seq <= was.base_seq:
            return
        if now.base_seq > was.seq:  # it moved on without us, or this pod has just begun
            self.lines, self._is_wanted = (), True
            return
        moved = was.lines[: now.base_seq - was.base_seq]
        self.lines = worth_telling((*self.lines, *moved))

    async def run(self) -> None:
        """Reads archives where this process has not seen the entries itself, until cancelled."""
        while self._archives is not None:
            if not self._is_wanted:
                await trio.sleep(LOOK_EVERY_S)
                continue
            try:
                await self._read(self._archives)
            except (ControllerError, LedgerCorrupt) as error:
                log.warning("ledger_archives_not_told", why=str(error))
                await trio.sleep(RETRY_S)

    async def _read(self, archives: LedgerArchives) -> None:
        ledger = self._history.ledger
        base, archived = ledger.base, ledger.cluster.archived
        if base is None or archived is None:
            self._is_wanted = False
            return
        lines: tuple[str, ...] = ()
        count = 0
        async with aclosing(parts_before(archives, base, archived)) as found:
            async for part in found:
                lines, count = (*_verified(part), *lines), count + 1
                if count == ARCHIVES_READ_MAX or _last(lines, _is_failover) is not None:
                    break
                await trio.sleep(PAUSE_S)
        if self._history.ledger.base == base:  # else entries moved meanwhile: read once more
            self.lines, self._is_wanted = worth_telling(lines), False


def _verified(part: Part) -> tuple[str, ...]:
    base = part.base
    return follow(Ledger(base.cluster, base.head) if base else Ledger(), part).lines


def worth_telling(lines: Sequence[str]) -> tuple[str, ...]:
    """Of these lines, in order: the newest, and those of the last change of main and of the last
    failover, each with the line before it, which says who was main."""
    kept = set(range(max(0, len(lines) - NEWEST_MAX), len(lines)))
    for begin in (_last(lines, _begins), _last(lines, _is_failover)):
        if begin is not None:
            kept |= set(range(max(0, begin - 1), _end_of_change(lines, begin) + 1))
    return tuple(lines[i] for i in sorted(kept))


def _begins(event: Event) -> bool:
    return event.dest is Phase.FAILOVER and event.source is not Phase.FAILOVER


def _is_failover(event: Event) -> bool:
    return _begins(event) and isinstance(event.payload, MainLost)


def _last(lines: Sequence[str], wanted: Callable[[Event], bool]) -> int | None:
    changes = (i for i in reversed(range(len(lines))) if '"to":"FAILOVER"' in lines[i])
    return next((i for i in changes if wanted(decode(lines[i]).event)), None)


def _end_of_change(lines: Sequence[str], begin: int) -> int:
    """Index of the line that leaves FAILOVER again, or of the last one."""
    rest = range(begin, len(lines))
    return next((i for i in rest if '"to":"FAILOVER"' not in lines[i]), len(lines) - 1)
