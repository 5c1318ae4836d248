"""What is announced to operators, how often, and that nothing waits for it."""

import itertools
from typing import Any

import pytest
import trio
from attrs import define, evolve, field
from fake_world import make_pod
from test_pod_flow import LIMIT_S, POLICY, Scene, operational

from controller.announcer import QUEUE_MAX, QUIET_S, Announcer, Place
from controller.entries import NewEntries, NewEntry
from controller.errors import ControllerError, KubeForbidden, KubeNotFound, KubeUnavailable
from controller.measures import KubeTally
from controller.notices import SHOWN, TEXT_MAX, WARNING, Notice, notice_of
from controller.sieve import BURST, KIND_BURST, REFILL_S, REMEMBERED_MAX, TOGETHER_S, Sieve
from statemachine import events as e
from statemachine.cluster import Cluster
from statemachine.codec import Entry
from statemachine.events import PAYLOADS, Event, trigger_of
from statemachine.ids import Instance, Phase, Seq, Term
from statemachine.view import View

ROUTINE = {
    "registration_opened",
    "registration_retired",
    "readers_changed",
    "drained",
    "ledger_archived",
}
M0, M1 = Instance("memgraph-0"), Instance("memgraph-1")


@define(eq=False)
class FakeBoard:
    """Keeps what is posted: name -> (place, notice, count). May fail, and may forget."""

    posted: dict[str, list[Any]] = field(factory=dict)
    requests: int = 0
    error: ControllerError | None = None
    hangs: bool = False
    names: Any = field(factory=lambda: itertools.count(1))

    async def _ask(self) -> None:
        self.requests += 1
        if self.hangs:
            await trio.sleep_forever()
        await trio.sleep(0.01)
        if self.error is not None:
            raise self.error

    async def post(self, place: Place, notice: Notice) -> str:
        """A new one."""
        await self._ask()
        name = f"n{next(self.names)}"
        self.posted[name] = [place, notice.reason, notice.text, 1]
        return name

    async def repeat(self, name: str, count: int, text: str) -> None:
        """Told again."""
        await self._ask()
        if name not in self.posted:
            raise KubeNotFound("404")
        self.posted[name][2:] = [text, count]

    def reasons(self) -> list[str]:
        """At the ledger, in order."""
        return [reason for place, reason, _, _ in self.posted.values() if not place.pod]


def entry(payload: e.Payload, why: str = "so", by: str = "me") -> NewEntry:
    """One as it would be folded."""
    event = Event(payload, Phase.OPERATIONAL, Phase.FAILOVER, why)
    made = Entry(Seq(7), "", event, M0, (M0, M1), (), Term(3), by, "id", "prev")
    return NewEntry(made, "h" * 32)


def test_every_trigger_is_announced_or_called_routine() -> None:
    """Whoever adds a trigger decides whether an operator should see it."""
    shown = {trigger_of(kind) for kind in SHOWN}
    assert not shown & ROUTINE
    assert shown | ROUTINE >= {trigger_of(kind) for kind in PAYLOADS}


def test_an_announcement_has_reason_evidence_and_place_in_the_chain() -> None:
    """The sentence of the entry, then position, term and hash; short enough for the API server,
    however long the sentence is."""
    made = notice_of(entry(e.MainLost(M1, "the main is silent", was_silent=True), "x" * 3000))
    assert made is not None
    assert (made.reason, made.weight) == ("MainLost", WARNING)
    assert made.text.endswith(f"[entry 7, term 3, head {'h' * 32}]")
    assert len(made.text) <= TEXT_MAX
    assert made.instances == {M0, M1}
    assert notice_of(entry(e.Drained())) is None


@pytest.mark.parametrize(("verdict", "weight"), [("none", "Normal"), ("unknown: x", "Warning")])
def test_a_loss_is_a_warning(verdict: str, weight: str) -> None:
    """A change of main that may have lost something does not look like one that has not."""
    made = notice_of(entry(e.MainPromoted(M1, frozenset(), verdict)))
    assert made is not None
    assert made.weight == weight
    assert verdict in made.text


class Room:
    """An announcer on a fake board."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.board, self.tally, self.trouble = FakeBoard(), KubeTally(), ""
        self.entries: list[NewEntry] = []
        self.announcer = Announcer(
            self.board,
            self,
            "me",
            lambda: self.trouble,
            self.tally,  # type: ignore[arg-type]
        )
        nursery.start_soon(self.announcer.run)

    def take(self) -> tuple[NewEntry, ...]:
        """As NewEntries."""
        taken, self.entries = tuple(self.entries), []
        return taken

    async def tell(self, *entries: NewEntry, identity: str = "me/1") -> None:
        """One turn, and time for what is queued."""
        self.entries += entries
        self.announcer.follow(Cluster(), evolve(View(POLICY), identity=identity))
        await trio.sleep(1.0)


def paused(reason: str = "a backup", by: str = "me") -> NewEntry:
    """Something of which there may be many."""
    return entry(e.Paused("alice", reason, 9, "r"), reason, by)


async def test_only_what_this_pod_wrote_is_announced(autojump_clock: Any, nursery: Any) -> None:
    """Each entry is announced by its writer alone: no announcement comes twice from two pods."""
    room = Room(nursery)
    await room.tell(paused(by="another"), paused())
    assert room.board.reasons() == ["Paused"]
    assert room.tally.notices == {"sent": 1}
    nursery.cancel_scope.cancel()


async def test_the_same_again_is_counted_at_the_same_object(
    autojump_clock: Any, nursery: Any
) -> None:
    """Twelve times the same is one object with a count of 12; after ten minutes it is a new one;
    one that the API server has forgotten is told anew."""
    room = Room(nursery)
    for _ in range(12):
        await room.tell(paused())
    assert [(said[1], said[3]) for said in room.board.posted.values()] == [("Paused", 12)]
    await trio.sleep(TOGETHER_S)
    await room.tell(paused())
    assert len(room.board.posted) == 2
    room.board.posted.clear()
    await room.tell(paused())
    assert len(room.board.posted) == 1
    nursery.cancel_scope.cancel()


async def test_many_of_a_kind_become_one(autojump_clock: Any, nursery: Any) -> None:
    """A reason told with ever other texts makes a few objects, then adds to the last, and says how
    many it stands for."""
    room = Room(nursery)
    for n in range(20):
        await room.tell(paused(f"reason {n}"))
        await trio.sleep(REFILL_S)
    assert len(room.board.posted) <= KIND_BURST + 3
    last = list(room.board.posted.values())[-1][2]
    assert last.startswith("reason 19")
    assert "more of the kind lately" in last
    nursery.cancel_scope.cancel()


async def test_a_flood_is_cut(autojump_clock: Any, nursery: Any) -> None:
    """However much is decided, the API server gets a burst and then one request in some seconds;
    what is dropped is counted, and nothing is forgotten in between."""
    room = Room(nursery)
    total = 0
    for _ in range(10):
        room.entries += [paused() for _ in range(QUEUE_MAX)]
        total += QUEUE_MAX
        await room.tell()
    assert room.board.requests <= BURST + 10 * (1 + 0.01 * QUEUE_MAX) / REFILL_S + 1
    assert sum(room.tally.notices.values()) == total
    assert room.tally.notices["dropped"] > 500
    nursery.cancel_scope.cancel()


async def test_a_hung_api_server_holds_up_nothing(autojump_clock: Any, nursery: Any) -> None:
    """While a request hangs, the loop's call returns at once; what does not fit is dropped."""
    room = Room(nursery)
    room.board.hangs = True
    await room.tell(paused())
    began_s = trio.current_time()
    room.entries = [paused(str(n)) for n in range(3 * QUEUE_MAX)]
    room.announcer.follow(Cluster(), View(POLICY))
    assert trio.current_time() == began_s
    assert room.tally.notices["dropped"] == 2 * QUEUE_MAX
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("error", [KubeForbidden("403"), KubeUnavailable("503")])
async def test_refusals_are_told_once_and_respected(
    error: ControllerError, autojump_clock: Any, nursery: Any
) -> None:
    """Without the right to announce (or without an API server) there is one try in a while, and no
    error reaches anybody."""
    room = Room(nursery)
    room.board.error = error
    for _ in range(5):
        await room.tell(paused())
    assert room.board.requests == 1
    assert room.announcer.failing == str(error)
    assert room.tally.notices == {"failed": 1, "dropped": 4}
    room.board.error = None
    await trio.sleep(QUIET_S)
    await room.tell(paused())
    assert room.board.reasons() == ["Paused"]
    assert room.announcer.failing == ""
    nursery.cancel_scope.cancel()


async def test_a_broken_ledger_is_announced_by_the_leader(
    autojump_clock: Any, nursery: Any
) -> None:
    """Once when it breaks, once when it is verified again; a standby says nothing."""
    room = Room(nursery)
    room.trouble = "entry 7 was edited"
    await room.tell(identity="")
    assert room.board.reasons() == []
    for _ in range(3):
        await room.tell()
    room.trouble = ""
    await room.tell()
    assert room.board.reasons() == ["LedgerTrouble", "LedgerVerified"]
    nursery.cancel_scope.cancel()


def test_memory_is_bounded() -> None:
    """Announcements at ever new pods do not grow the process."""
    sieve = Sieve()
    for n in range(3 * REMEMBERED_MAX):
        sieve.about(f"pod-{n}/uid", "SyncLost")
    assert len(sieve._told) == REMEMBERED_MAX


async def test_a_failover_of_a_live_pod_is_announced(autojump_clock: Any, nursery: Any) -> None:
    """A whole pod on fakes: main lost, fenced, promoted and joined again, at the ledger and at the
    pods that it is about; the standby announces nothing."""
    scene, boards = Scene(nursery), {}
    with trio.fail_after(LIMIT_S):
        for name in ("controller-0", "controller-1"):
            pod, gateways = make_pod(scene.world, name, POLICY)
            boards[name] = FakeBoard()
            announcer = Announcer(
                boards[name],
                NewEntries(pod.loop.chronicle),
                name,
                lambda pod=pod: pod.loop.chronicle.trouble,  # type: ignore[misc]
                KubeTally(),
            )
            pod.loop.followers.append(announcer.follow)
            nursery.start_soon(announcer.run)
            scene.pods[name], scene.gateways[name] = pod, gateways
            scene.scopes[name] = trio.CancelScope()
            nursery.start_soon(pod.run)
        scene.lead("controller-0")
        await scene.wait_phase(Phase.OPERATIONAL)
        await scene.wait_writable("memgraph-0")
        scene.world.kill("memgraph-0")
        await scene.wait_writable("memgraph-1")
        scene.world.restart("memgraph-0")
        await scene.wait_phase(Phase.OPERATIONAL)
        await trio.sleep(1.0)
        told = boards["controller-0"]
        order = [r for r in told.reasons() if r in ("MainLost", "MainFenced", "MainPromoted")]
        assert order[-3:] == ["MainLost", "MainFenced", "MainPromoted"]
        assert told.reasons()[-1] == "SyncJoined"
        at_pods = {(place.pod, reason) for place, reason, _, _ in told.posted.values()}
        assert {(M0, "MainLost"), (M1, "MainLost"), (M1, "MainPromoted")} <= at_pods
        assert not boards["controller-1"].posted
        nursery.cancel_scope.cancel()


async def test_a_pod_without_a_board_announces_nothing(autojump_clock: Any, nursery: Any) -> None:
    """KUBERNETES_EVENTS=false: there is no announcer at all."""
    scene = Scene(nursery)
    with trio.fail_after(LIMIT_S):
        await operational(scene)
        assert all(pod.announcer is None for pod in scene.pods.values())
        nursery.cancel_scope.cancel()
