"""The rules of who may send what and open when, each broken by hand in a world of a few parts."""

import random

import trio
from simulation.books import Books
from simulation.doors import Doors
from simulation.memgraph import Instances, Memgraph
from simulation.network import Network
from simulation.reading import Reading
from simulation.rulebook import PAUSE_GRACE_S, rules_of

from controller.kube import KubeNames
from controller.memgraph import statements
from gateway import Route, Upstream
from statemachine.ids import Instance, Role

A, B, LEADER, OTHER = "memgraph-0", "memgraph-1", "ctl-0", "ctl-1"
TO_REPLICA = "SET REPLICATION ROLE TO REPLICA WITH PORT 10000"


class Relay:
    """A gateway of which only one thing matters."""

    pod = OTHER
    is_open = False

    def may_acknowledge(self, instance: Memgraph | None = None, process: int = 0) -> bool:
        """As told."""
        return self.is_open


class Room:
    """Two instances, a gateway, rules; ctl-0 holds the Lease."""

    def __init__(self) -> None:
        peers = Instances(Network(), random.Random(1), lambda *_: None)
        self.of = {name: Memgraph(Instance(name), peers, "10.0.0.1") for name in (A, B)}
        self.under_way_s = 0.0
        self.books = Books(self.of, lambda text: None, lambda: self.under_way_s)
        self.relay = Relay()
        relays = [self.relay]
        self.rules = rules_of(self.books, relays=lambda: relays, holder=lambda: LEADER)
        self.says("leader_elected", "BOOTSTRAP", leader=f"{LEADER}/uid/1")
        self.says("main_appointed", "DEGRADED", storage_uuid="s")
        self.says("main_promoted", "DEGRADED", verdict="none")

    def says(
        self, on: str, to: str = "OPERATIONAL", sync: tuple[str, ...] = (A,), **data: object
    ) -> None:
        """A line of the ledger."""
        term = self.books.ledger.term + (on == "main_lost")
        data = {"main": A, "sync": [], **data} if on == "main_promoted" else data
        line = {"on": on, "to": to, "term": term, "main": A, "sync": list(sync), "data": data}
        self.books.ledger.take(line)
        self.books.violations += self.books.ledger.wrong

    def fails_over(self, *, fenced: bool) -> None:
        """B is candidate."""
        self.says("main_lost", "FAILOVER", candidate=B)
        if fenced:
            self.says("main_fenced", "FAILOVER", proof="dead")

    def sends(self, statement: str, name: str, pod: str = LEADER) -> None:
        """A controller says something to an instance, and hears the answer."""
        peer = self.of[name]
        self.rules.sent(f"{pod}#1", peer, peer.process, statement)
        self.rules.answered(f"{pod}#1", peer, peer.process)

    @property
    def said(self) -> str:
        """The first sentence that is not true any more."""
        return self.books.violations[0] if self.books.violations else ""


async def test_a_promotion_after_the_fence_is_right(autojump_clock: trio.abc.Clock) -> None:
    """Recorded, fenced, and nobody relays: nothing to say."""
    room = Room()
    room.fails_over(fenced=True)
    room.sends(statements.BECOME_MAIN, B)
    assert (room.said, room.rules.checks) == ("", 1)


async def test_a_promotion_before_the_fence(autojump_clock: trio.abc.Clock) -> None:
    """S4: the fence is in the ledger first."""
    room = Room()
    room.fails_over(fenced=False)
    room.sends(statements.BECOME_MAIN, B)
    assert "before the fence" in room.said


async def test_a_promotion_that_nobody_recorded(autojump_clock: trio.abc.Clock) -> None:
    """S1, S2: the ledger names whom it is about, also a recorded main that came back."""
    room = Room()
    room.sends(statements.BECOME_MAIN, A)
    assert "the ledger names ''" in room.said


async def test_role_commands_while_a_gateway_is_open(autojump_clock: trio.abc.Clock) -> None:
    """S4, S5: everybody has cut before anybody is promoted or demoted."""
    for statement, name, sentence in (
        (statements.BECOME_MAIN, B, "is promoted while ctl-1"),
        (TO_REPLICA, A, "is demoted while ctl-1"),
    ):
        room = Room()
        room.fails_over(fenced=True)
        room.relay.is_open = True
        room.sends(statement, name)
        assert sentence in room.said


async def test_who_does_not_hold_the_lease_says_nothing(autojump_clock: trio.abc.Clock) -> None:
    """S9: unless a hand has just taken the Lease away."""
    room = Room()
    room.rules.deposed_at_s = trio.current_time()
    room.sends(TO_REPLICA, B, OTHER)
    assert not room.said
    await trio.sleep(60)
    room.sends(TO_REPLICA, B, OTHER)
    assert "ctl-0 holds the Lease" in room.said


async def test_a_leader_before_its_barrier(autojump_clock: trio.abc.Clock) -> None:
    """S1: the first thing that a leader does is an entry in the ledger."""
    room = Room()
    room.says("leader_elected", "DEGRADED", leader=f"{OTHER}/uid/1")
    room.sends(TO_REPLICA, B)
    assert "before its barrier" in room.said


async def test_a_second_role_command_without_an_answer(autojump_clock: trio.abc.Clock) -> None:
    """S9: the first one may still be carried out."""
    room = Room()
    for _ in range(2):
        room.rules.sent("ctl-0#1", room.of[B], 0, TO_REPLICA)
    assert "second role command" in room.said


async def test_names_that_are_not_open(autojump_clock: trio.abc.Clock) -> None:
    """S1, S8: a name is in the ledger before it is registered, and only once."""
    room = Room()
    room.sends('REGISTER REPLICA `b_g1` STRICT_SYNC TO "10.0.0.2:10000"', A)
    assert "not open in the ledger" in room.said
    room = Room()
    for _ in range(2):
        room.says("registration_opened", name="b_g1", instance=B)
    assert "used a second time" in room.said


async def test_a_member_is_dropped(autojump_clock: trio.abc.Clock) -> None:
    """S3: the set shrinks in the ledger first; the same drop afterwards is right."""
    for shrinks, sentence in ((True, ""), (False, "is in the sync set")):
        room = Room()
        room.says("registration_opened", name="b_g1", instance=B)
        room.says("sync_joined", sync=(A, B), name="b_g1", instance=B)
        if shrinks:
            room.says("sync_lost", "DEGRADED", name="b_g1", instance=B)
        room.sends("DROP REPLICA `b_g1`", A)
        assert sentence in room.said
        assert bool(room.said) is not shrinks


async def test_somebody_joins_without_a_marker(autojump_clock: trio.abc.Clock) -> None:
    """S3: a marker went through this name's row, to the process that is there."""
    room = Room()
    room.says("registration_opened", name="b_g1", instance=B)
    room.rules.joined("b_g1", room.of[B], room.of[A])
    assert "no marker ever went through" in room.said


async def test_commands_in_a_pause(autojump_clock: trio.abc.Clock) -> None:
    """S15: what was under way may end; nothing begins later."""
    room = Room()
    room.says("paused", until_s=0)
    room.sends("DROP REPLICA `b_g1`", A)
    assert not room.said
    await trio.sleep(PAUSE_GRACE_S + 1)
    room.sends("DROP REPLICA `b_g1`", A)
    assert "paused or observing" in room.said


async def test_a_main_that_is_not_pinned(autojump_clock: trio.abc.Clock) -> None:
    """S11: the epoch of main_promoted survives a crash."""
    room = Room()
    main = room.of[A]
    main.start()
    main.become(Role.MAIN)
    room.rules.promoted(main)
    assert "not pinned" in room.said


async def test_a_main_that_nobody_promoted(autojump_clock: trio.abc.Clock) -> None:
    """S11: the role was read back before main_promoted."""
    room = Room()
    room.of[A].start()
    await trio.sleep(5)
    room.rules.promoted(room.of[A])
    assert "nobody promoted it" in room.said


async def test_an_entry_is_judged_by_when_its_write_left(autojump_clock: trio.abc.Clock) -> None:
    """What an API server carries out late says how it was then, and no more than that."""
    room = Room()
    room.of[A].start()
    await trio.sleep(5)
    room.under_way_s = 4.0
    room.rules.promoted(room.of[A])
    assert not room.said
    room.under_way_s = 2.0
    room.rules.promoted(room.of[A])
    assert "nobody promoted it" in room.said


def test_candidates_and_terms() -> None:
    """S2: one candidate a term, and main becomes who was candidate."""
    reading = Reading()
    line = {"to": "FAILOVER", "term": 2, "main": A, "sync": [A, B]}
    reading.take({**line, "on": "main_lost", "data": {"candidate": B}})
    reading.take({**line, "on": "candidate_lost", "data": {"candidate": A}})
    assert "two candidates in term 2" in reading.wrong[0]
    reading.take({**line, "on": "main_promoted", "data": {"main": B, "sync": []}})
    assert "candidate was 'memgraph-0'" in reading.wrong[0]


def test_a_cluster_is_begun_anew_only_while_nobody_could_write() -> None:
    """S10: the storage is that of the last appointment, and set for good by the promotion."""
    reading = Reading()
    line = {"on": "main_appointed", "to": "DEGRADED", "main": A, "sync": [A]}
    for term, storage in ((1, "first-disk"), (2, "second-disk")):
        reading.take({**line, "term": term, "data": {"storage_uuid": storage}})
        assert (reading.storage_uuid, reading.wrong) == (storage, [])
    promoted = {"main": A, "sync": [], "verdict": "none"}
    reading.take({**line, "on": "main_promoted", "term": 2, "data": promoted})
    assert reading.wrong == []
    reading.take({**line, "term": 3, "data": {"storage_uuid": "third-disk"}})
    assert "that clients wrote to" in reading.wrong[0]


async def test_a_gateway_opens_too_early(autojump_clock: trio.abc.Clock) -> None:
    """S6, S7: its Lease, then the head, then the door; and after every closing the head again."""
    room, names = Room(), KubeNames("mg", "default", "memgraph", LEADER, "uid")
    room.of[A].start(guarded=False)
    doors = Doors(room.books, names)
    opened = Route(1, (Upstream(A, 1, "10.0.0.1", 7687),), "")
    ledger = f"{names.config_maps_path}/{names.ledger}"
    doors.executed("ctl-0#1", "GET", ledger)
    doors.told("ctl-0#1", opened)
    assert "before it has a Lease" in room.books.violations.pop()
    doors.executed("ctl-0#2", "POST", f"{names.leases_path}/{names.gateway_lease}")
    doors.executed("ctl-0#2", "GET", ledger)
    doors.told("ctl-0#2", opened)
    assert not room.said
    await trio.sleep(1)
    doors.told("ctl-0#2", Route(1, (), "closed"))
    doors.told("ctl-0#2", opened)
    assert "since it closed" in room.said


async def test_a_gateway_opens_to_a_replica(autojump_clock: trio.abc.Clock) -> None:
    """S7: whom it opens to says MAIN, or did a moment ago."""
    room, names = Room(), KubeNames("mg", "default", "memgraph", LEADER, "uid")
    room.of[A].start()
    await trio.sleep(5)
    doors = Doors(room.books, names)
    doors.told("ctl-0#1", Route(1, (Upstream(A, 1, "10.0.0.1", 7687),), ""))
    assert "which is replica" in room.books.violations[-1]
