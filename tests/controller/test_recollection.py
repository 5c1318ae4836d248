"""What people see of the entries that have moved into archives."""

import trio
from attrs import define
from test_catching_up import Archives, cut
from trio.testing import MockClock

from controller.recollection import (
    ARCHIVES_READ_MAX,
    NEWEST_MAX,
    PAUSE_S,
    RETRY_S,
    Recollection,
    worth_telling,
)
from controller.web.timings import changes
from statemachine import events as e
from statemachine.cluster import Registration
from statemachine.events import Event
from statemachine.ids import Instance, Mode, Phase
from statemachine.ledger import Ledger
from statemachine.view import Policy, View


@define(eq=False)
class Copy:
    """The verified copy of a process."""

    ledger: Ledger
    was_read: bool = True


VIEW = View(Policy(eligible=()))


def busy(ledger: Ledger, count: int) -> Ledger:
    """That many quiet entries more."""
    for number in range(count):
        phase = ledger.cluster.phase
        elected = Event(e.LeaderElected(f"c{number}"), phase, phase, "because")
        ledger = ledger.append(elected, at="now", by="me", entry_id=f"id-{ledger.seq}")
    return ledger


M0, M1, NAME = Instance("memgraph-0"), Instance("memgraph-1"), "memgraph_1_g1"


def history() -> Ledger:
    """A cluster that was adopted, and failed over from memgraph-0 to memgraph-1 by entry 4."""
    row = Registration(NAME, M1, Mode.STRICT_SYNC, "10.0.0.11:10000")
    ledger = Ledger()
    for payload, dest in (
        (e.LeaderElected("c0"), Phase.BOOTSTRAP),
        (e.ClusterAdopted(M0, "storage", (row,)), Phase.DEGRADED),
        (e.SyncJoined(M1, NAME), Phase.OPERATIONAL),
        (e.MainLost(M1, "silent", was_silent=True), Phase.FAILOVER),
        (e.MainFenced("dead"), Phase.FAILOVER),
        (e.MainPromoted(M1, frozenset(), "none"), Phase.DEGRADED),
    ):
        event = Event(payload, ledger.cluster.phase, dest, "because")
        ledger = ledger.append(event, at="now", by="me", entry_id=f"id-{ledger.seq}")
    return ledger


def told(copy: Copy, memory: Recollection) -> list[tuple[int, str, str, str]]:
    """The failovers that the status could tell: seq, old and new main, proof."""
    found = changes((*memory.lines, *copy.ledger.lines))
    return [(c.seq, c.old_main, c.new_main, c.proof) for c in found if c.is_failover]


FAILED_OVER = [(4, M0, M1, "dead")]


async def test_who_sees_the_cut_forgets_no_failover() -> None:
    """The entries move out of the live part, once and again; the status goes on telling it, and no
    archive was read."""
    archives = Archives()
    copy = Copy(history())
    memory = Recollection(copy, archives)
    memory.follow(copy.ledger.cluster, VIEW)
    copy.ledger = busy(copy.ledger, 20)
    for _ in range(4):
        copy.ledger = cut(copy.ledger, archives)
        memory.follow(copy.ledger.cluster, VIEW)
        assert told(copy, memory) == FAILED_OVER
    assert copy.ledger.base_seq > history().seq
    assert archives.reads == []


async def test_a_pod_that_starts_later_reads_it_in_the_archives(autojump_clock: MockClock) -> None:
    """Backwards, until it has found the last failover, and no further; an API server that does not
    answer is asked again later."""
    archives = Archives(is_down=True)
    ledger = busy(history(), 30)
    for _ in range(6):
        ledger = cut(ledger, archives)
    copy = Copy(Ledger())
    memory = Recollection(copy, archives)
    memory.follow(copy.ledger.cluster, VIEW)
    copy.ledger = ledger
    memory.follow(ledger.cluster, VIEW)
    with trio.fail_after(2 * RETRY_S + 10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(memory.run)
            await trio.sleep(RETRY_S / 2)
            assert told(copy, memory) == []
            archives.is_down = False
            archives.reads.clear()
            while not memory.lines:
                await trio.sleep(PAUSE_S)
            nursery.cancel_scope.cancel()
    assert told(copy, memory) == FAILED_OVER
    assert archives.reads == [6, 5, 4, 3, 2, 1]


async def test_the_look_back_has_an_end(autojump_clock: MockClock) -> None:
    """A cluster that has not failed over for long costs so many requests, once."""
    archives = Archives()
    ledger = busy(history(), 80)
    for _ in range(ARCHIVES_READ_MAX + 4):
        ledger = cut(ledger, archives)
    copy = Copy(ledger)
    memory = Recollection(copy, archives)
    memory.follow(ledger.cluster, VIEW)
    with trio.move_on_after(60):
        await memory.run()
    assert len(archives.reads) == ARCHIVES_READ_MAX
    assert told(copy, memory) == []
    assert len(memory.lines) == 4 * ARCHIVES_READ_MAX


def test_only_what_is_worth_telling_is_kept() -> None:
    """The newest entries, and the last failover with the entry before it, which names the main."""
    lines = busy(history(), 200).lines
    kept = worth_telling(lines)
    assert kept == (*lines[2:6], *lines[-NEWEST_MAX:])
    assert worth_telling(lines[:4]) == lines[:4]
    assert worth_telling(()) == ()


async def test_without_archives_there_is_nothing_to_do() -> None:
    """The task ends at once."""
    with trio.fail_after(1):
        await Recollection(Copy(Ledger()), None).run()
