"""The checkers notice what they are there for, each on a world made by hand."""

import hashlib
import json
from random import Random
from typing import Any

import pytest
import trio
import trio.testing
from simulation import books
from simulation.books import GENESIS, Books
from simulation.memgraph import Instances, Memgraph
from simulation.network import Network
from simulation.storage import Commit

from gateway import Route, Upstream
from statemachine.cluster import Cluster
from statemachine.ids import Instance, Role
from statemachine.ledger import Ledger

A, B = "memgraph-0", "memgraph-1"


class Room:
    """Two instances, books, and a ledger to write into."""

    def __init__(self) -> None:
        peers = Instances(Network(), Random(1), lambda *_: None)
        self.of = {name: Memgraph(Instance(name), peers, "") for name in (A, B)}
        self.books = Books(self.of, lambda text: None)
        self.data: dict[str, str] = {}
        self.term = 1

    def holds(self, name: str, *writes: int) -> None:
        """These writes are on its disk."""
        storage = self.of[name].storage
        for write in writes:
            storage.apply(Commit(storage.ldt + 2, storage.ldt, "e", write))

    def entry(self, on: str, *, main: str = A, sync: tuple[str, ...] = (A, B), **data: Any) -> None:
        """One more line of the ledger."""
        if on == "main_promoted":
            data = {"main": main, "sync": [], **data}
        self.term += on == "main_lost"
        number = len(self.data) + 1
        before = self.data.get(f"{number - 1:08d}")
        prev = hashlib.sha256(before.encode()).hexdigest()[:32] if before else GENESIS
        line = {"seq": number, "on": on, "from": "", "to": "OPERATIONAL", "why": "", "main": main}
        line |= {"sync": list(sync), "term": self.term, "data": data, "prev": prev}
        self.data[f"{number:08d}"] = json.dumps(line) + "\n"
        self.books.ledger_written(self.data)

    def promotes(self, main: str, verdict: str, sync: tuple[str, ...] = (A, B)) -> None:
        """The main changes."""
        self.entry("main_lost", candidate=main)
        self.entry("main_fenced", proof="dead")
        self.entry("main_promoted", main=main, sync=sync, verdict=verdict)

    def leads(self, name: str, term: int) -> None:
        """A gateway opens, and a client is led through it."""
        upstream = Upstream(name, 1, "10.0.0.1", 7687)
        self.books.opened("ctl-0", Route(term, (upstream,), ""))
        self.books.led(name)


@pytest.fixture
def room() -> Room:
    """All is well: both hold write 1, which was acknowledged."""
    made = Room()
    made.entry("main_appointed", sync=(A,), storage_uuid="s")
    made.entry("main_promoted", sync=(A,), verdict="none")
    made.entry("registration_opened", sync=(A,), name="b_g1", instance=B)
    made.entry("sync_joined", name="b_g1", instance=B)
    for instance in made.of.values():
        instance.disk.storage_uuid = "s"
    made.holds(A, 1)
    made.holds(B, 1)
    made.books.acknowledged(1, "client", made.of[A])
    assert not made.books.violations
    return made


def test_a_main_without_an_acknowledged_write(room: Room) -> None:
    """Promoted with the verdict "none", and write 2 is not there."""
    room.holds(A, 2)
    room.holds(B, 2)
    room.books.acknowledged(2, "client", room.of[A])
    room.of[B].disk.writes.discard(2)
    room.promotes(B, "none")
    assert "became main without acknowledged write(s) 2" in room.books.violations[0]


def test_an_admitted_loss_is_one_write_of_each_client(room: Room) -> None:
    """The verdict covers at most one transaction a writer, not two."""
    for write in (2, 3):
        room.holds(A, write)
        room.holds(B, write)
        room.books.acknowledged(write, "client", room.of[A])
    room.of[B].disk.writes.discard(3)
    room.promotes(B, "at most 1 transaction a writer")
    assert not room.books.violations
    assert room.books.losses_admitted == 1
    room.of[B].disk.writes.discard(2)
    room.of[B].disk.writes.discard(1)
    room.books._checked.clear()
    room.promotes(B, "at most 1 transaction a writer")
    assert room.books.violations


def loses_a_finalize(room: Room) -> None:
    """A acknowledges write 2, of which B was never told, and dies: nobody knows yet."""
    room.holds(A, 2)
    room.of[A].lose_finalize(2, at_s=10.0)
    room.of[A].ended_s[0] = 11.0
    room.books.acknowledged(2, "client", room.of[A])
    room.promotes(B, "none", sync=(B,))
    assert not room.books.violations
    assert room.books.unsaid == {2}


@pytest.mark.parametrize("ended_s", [16.0, None])
def test_a_loss_that_could_be_seen(room: Room, ended_s: float | None) -> None:
    """A lives on for long, with a replica that shows as behind: "none" is no answer then (S13)."""
    room.holds(A, 2)
    room.of[A].lose_finalize(2, at_s=10.0)
    room.of[A].ended_s |= {0: ended_s} if ended_s else {}
    room.books.acknowledged(2, "client", room.of[A])
    room.promotes(B, "none", sync=(B,))
    assert "became main without acknowledged write(s) 2" in room.books.violations[0]


def test_a_loss_that_was_never_said(room: Room) -> None:
    """The old main is back with it at the end, and nobody has said a word (S13)."""
    loses_a_finalize(room)
    room.books.check_said()
    assert not room.books.violations
    room.of[A].is_up = True
    room.books.check_said()
    assert "memgraph-0 is back with acknowledged write(s) 2" in room.books.violations[0]


@pytest.mark.parametrize("told", ["none", "at most 1 transaction a writer"])
def test_a_refusal_amends_the_verdict(
    room: Room, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who holds an acknowledged write alone and is refused changes what readers of the ledger are
    told of the loss (S13)."""
    loses_a_finalize(room)
    monkeypatch.setattr(books, "fold", lambda data: Ledger(Cluster(verdict=told)))
    text = {"instance": A, "name": "a_g2", "text": "Error: 3"}
    room.entry("instance_refused", main=B, sync=(B,), **text)
    assert bool(room.books.violations) is (told == "none")
    assert not room.books.unsaid


@pytest.mark.parametrize("is_up", [False, True])
def test_an_entry_of_the_moment_in_which_the_main_is_taken(
    room: Room, is_up: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refusal was decided while another held everything; it says nothing of the main's end.
    One that is up without its data is another matter."""
    monkeypatch.setattr(books, "fold", lambda data: Ledger(Cluster(verdict="none")))
    room.of[A].is_up = is_up
    room.books.lost_disk(A)
    room.of[A].disk.writes.discard(1)
    room.entry("instance_refused", instance=B, name="b_g9", text="Error: 3")
    said = [text for text in room.books.violations if "holds acknowledged write" in text]
    assert bool(said) is is_up


def test_two_branches(room: Room) -> None:
    """An instance acknowledges a write without holding an earlier acknowledged one."""
    room.of[B].disk.writes.discard(1)
    room.holds(B, 2)
    room.books.acknowledged(2, "client", room.of[B])
    assert "two branches" in room.books.violations[0]


def writes_alone(room: Room, write: int) -> None:
    """A commits and acknowledges what nobody else has."""
    room.holds(A, write)
    room.books.acknowledged(write, "client", room.of[A])


async def test_required_holds_once_every_gateway_has_closed(
    room: Room, autojump_clock: trio.abc.Clock
) -> None:
    """A person's word meets open gateways: they may pass on what is on one copy until they have
    heard it, or closed by themselves, and not a moment longer; saying it again changes nothing."""
    room.entry("policy_changed", sync=(A,), durability="required")
    writes_alone(room, 2)
    await trio.sleep(3)
    room.entry("policy_changed", sync=(A,), durability="required")
    writes_alone(room, 3)
    assert not room.books.violations
    await trio.sleep(2)
    writes_alone(room, 4)
    assert "durability is required, and write 4" in room.books.violations[0]


@pytest.mark.parametrize("sync", [(A,), (A, B)])
async def test_required_knows_no_patience_where_nobody_had_to_close(
    room: Room, sync: tuple[str, ...], autojump_clock: trio.abc.Clock
) -> None:
    """With two copies, or once a main was opened anew, one copy alone is a broken promise."""
    room.entry("policy_changed", sync=sync, durability="required")
    room.entry("main_lost", candidate=A, sync=(A,))
    room.entry("main_promoted", sync=(A,), verdict="none")
    writes_alone(room, 2)
    assert "durability is required, and write 2" in room.books.violations[0]


def test_a_member_of_the_sync_set_without_the_write(room: Room) -> None:
    """What is acknowledged is on every member, unless the finalize got lost or its disk was."""
    room.holds(A, 2)
    room.of[A].finalize_lost.add(2)
    room.books.acknowledged(2, "client", room.of[A])
    assert not room.books.violations
    room.holds(A, 3)
    room.books.acknowledged(3, "client", room.of[A])
    assert "memgraph-1 of the sync set does not hold it" in room.books.violations[0]


def test_what_a_person_accepted_is_not_held_against_the_candidate(room: Room) -> None:
    """A forced candidate need not hold what is acknowledged until the gateways have cut; once it is
    main its verdict has to say so, and the next attempt forgives nobody."""
    room.entry("sync_lost", sync=(A,), name="b_g1", instance=B)
    room.term += 1
    room.entry("failover_forced", candidate=B, storage_uuid="s")
    room.holds(A, 2)
    room.books.acknowledged(2, "client", room.of[A])
    assert not room.books.violations
    room.term += 1
    room.entry("candidate_lost", candidate=A)
    room.holds(A, 3)
    room.books.acknowledged(3, "client", room.of[A])
    assert "memgraph-1 of the sync set does not hold it" in room.books.violations[0]


def test_a_cluster_that_begins_anew_forgives_no_disk_of_before(room: Room) -> None:
    """What was lost before anybody could write excuses nothing later."""
    made = Room()
    made.entry("main_appointed", sync=(A,), storage_uuid="s")
    made.books.lost_disk(A)
    made.entry("main_appointed", sync=(A,), storage_uuid="t")
    assert A not in made.books.excused
    room.books.lost_disk(A)
    room.entry("readers_changed", readers=[])
    assert A in room.books.excused


def test_two_upstreams_in_one_term(room: Room) -> None:
    """Gateways may lead to one instance only in a term."""
    room.leads(A, 2)
    room.leads(A, 2)
    assert not room.books.violations
    room.leads(B, 2)
    assert "two upstreams in term 2" in room.books.violations[0]


def test_clients_led_to_an_incomplete_instance(room: Room) -> None:
    """A gateway opens to an instance that misses an acknowledged write."""
    room.of[B].disk.writes.discard(1)
    room.leads(B, 3)
    assert not room.books.violations  # it is down: there is nobody who could serve a client
    room.of[B].is_up = True
    room.leads(B, 3)
    assert "clients are led to memgraph-1" in room.books.violations[0]


@pytest.mark.parametrize("is_up", [False, True])
def test_a_main_whose_disk_is_taken_while_it_is_recorded(room: Room, is_up: bool) -> None:
    """No answer could have shown it, and another member holds everything; one that answers without
    its data is another matter."""
    room.of[B].disk.writes.discard(1)
    room.of[B].is_up = is_up
    room.books.lost_disk(B)
    room.promotes(B, "none")
    said = [text for text in room.books.violations if "became main without" in text]
    assert bool(said) is is_up


@pytest.mark.parametrize("under_way_s", [1.0, 3.0])
async def test_a_main_that_lost_its_disk_while_the_entry_was_on_its_way(
    room: Room, under_way_s: float, autojump_clock: trio.testing.MockClock
) -> None:
    """Whole when the leader wrote, and up again without its data when a slow API server carried
    that out. One that was recorded after it had lost them is another matter."""
    main = room.of[B]
    room.books.under_way_s = lambda: under_way_s
    main.start(guarded=False)
    main.role = Role.MAIN
    main.stop()
    room.books.lost_disk(B)
    main.lose_disk()
    main.start()
    await trio.sleep(2)
    room.promotes(B, "none")
    said = [text for text in room.books.violations if "became main without" in text]
    assert bool(said) is (under_way_s < 2)


def test_the_last_copy_is_wiped(room: Room) -> None:
    """An init container may move aside only what somebody else holds."""
    room.entry("sync_lost", sync=(A,), name="b_g1", instance=B)
    room.books.wiped(room.of[B])
    assert not room.books.violations
    room.of[A].disk.writes.discard(1)
    room.books.wiped(room.of[B])
    assert "the last copy of write 1" in room.books.violations[0]


def test_a_member_is_wiped(room: Room) -> None:
    """Whoever is in the sync set, or main, keeps its data (S12)."""
    room.books.wiped(room.of[B])
    assert "memgraph-1 was wiped, and is in the sync set" in room.books.violations[0]


def test_a_ledger_that_was_rewritten(room: Room) -> None:
    """An entry that was there stays as it was; the next one carries its hash."""
    room.entry("leader_elected", leader="ctl-0/uid/1")
    room.data["00000001"] = room.data["00000001"].replace('"why": ""', '"why": "x"')
    room.books.ledger_written(room.data)
    assert "does not go on" in room.books.violations[0]


def test_a_broken_chain(room: Room) -> None:
    """A line whose prev is not the hash of the one before."""
    line = json.loads(room.data["00000002"]) | {"seq": 5, "prev": "f" * 32}
    room.books.ledger_written(room.data | {"00000005": json.dumps(line)})
    assert "chain is broken at entry 5" in room.books.violations[0]
