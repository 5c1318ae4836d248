"""What a leader did not live to announce is announced by the next one."""

from datetime import UTC, datetime, timedelta
from typing import Any

import trio
from attrs import define, field
from fake_world import make_pod
from test_announcing import FakeBoard
from test_pod_flow import LIMIT_S, POLICY, Scene

from controller.announcer import Place
from controller.entries import NewEntry
from controller.inheritance import INHERITED_MAX, NEWS_S, Inheritance
from controller.notices import Notice
from statemachine import events as e
from statemachine.events import Event
from statemachine.ids import Phase
from statemachine.ledger import Ledger
from statemachine.view import Policy, View

VIEW = View(Policy(eligible=()))
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


@define(eq=False)
class Copy:
    """The verified copy of a process, and what the process inherited."""

    ledger: Ledger = field(factory=Ledger)
    was_read: bool = True
    told: list[int] = field(factory=list)

    def tell(self, old: NewEntry) -> None:
        """What an announcer would get."""
        self.told.append(int(old.entry.seq))


def wrote(copy: Copy, by: str, after_s: float, payload: e.Payload | None = None) -> None:
    """One entry more."""
    payload = payload or e.BootstrapRefused("two mains")
    event = Event(payload, Phase.BOOTSTRAP, Phase.BOOTSTRAP, "because")
    at = (BEGIN + timedelta(seconds=after_s)).isoformat()
    copy.ledger = copy.ledger.append(event, at=at, by=by, entry_id=f"id-{copy.ledger.seq}")


def process(copy: Copy, me: str) -> Inheritance:
    """One that has read the ledger as it is."""
    made = Inheritance(copy, me, copy.tell)
    made.follow(copy.ledger.cluster, VIEW)
    return made


def test_a_new_leader_tells_the_last_entries_of_another() -> None:
    """The young ones among the last few, before its own barrier; once."""
    copy = Copy()
    for number in range(INHERITED_MAX + 3):
        wrote(copy, "old", number)
    heir = process(copy, "new")
    wrote(copy, "new", 20, e.LeaderElected("new/1"))
    heir.follow(copy.ledger.cluster, VIEW)
    assert copy.told == list(range(4, 4 + INHERITED_MAX))
    wrote(copy, "new", 21)
    heir.follow(copy.ledger.cluster, VIEW)
    assert len(copy.told) == INHERITED_MAX


def test_old_entries_and_own_ones_are_no_news() -> None:
    """A rolling update of a quiet cluster repeats nothing of last week; and a process that leads
    again does not repeat itself."""
    copy = Copy()
    wrote(copy, "old", 0)
    heir = process(copy, "new")
    wrote(copy, "new", NEWS_S + 1, e.LeaderElected("new/1"))
    wrote(copy, "new", NEWS_S + 2)
    wrote(copy, "new", NEWS_S + 3, e.LeaderElected("new/2"))
    heir.follow(copy.ledger.cluster, VIEW)
    assert copy.told == []


def test_a_process_that_was_started_anew_in_the_same_pod_inherits_from_itself() -> None:
    """It has the same name, and remembers nothing."""
    copy = Copy()
    wrote(copy, "pod", 0)
    heir = process(copy, "pod")
    wrote(copy, "other", 1, e.LeaderElected("other/1"))
    heir.follow(copy.ledger.cluster, VIEW)
    assert copy.told == []
    wrote(copy, "pod", 2, e.LeaderElected("pod/2"))
    heir.follow(copy.ledger.cluster, VIEW)
    assert copy.told == [1, 2]


@define(eq=False)
class SharedBoard(FakeBoard):
    """Knows the names that the API server would know."""

    async def post(self, place: Place, notice: Notice) -> str:
        """Posted under its own name; the same one again changes nothing."""
        await self._ask()
        name = f"{place.pod}.{notice.id}"
        self.posted.setdefault(name, [place, notice.reason, notice.text, 1])
        return name


async def test_a_leader_dies_before_it_announces(autojump_clock: Any, nursery: Any) -> None:
    """Whole pods on fakes: the leader's announcements hang and it dies after it recorded the loss
    of the main; what it wrote is announced by its successor, and each entry once."""
    scene, boards = Scene(nursery), {"controller-0": SharedBoard(), "controller-1": SharedBoard()}
    with trio.fail_after(LIMIT_S):
        for name, board in boards.items():
            scene.pods[name], scene.gateways[name] = make_pod(
                scene.world, name, POLICY, board=board
            )
            scene.scopes[name] = trio.CancelScope()
            nursery.start_soon(scene._run, name)
        scene.lead("controller-0")
        await scene.wait_phase(Phase.OPERATIONAL)
        await scene.wait_writable("memgraph-0")
        boards["controller-0"].hangs = True
        scene.world.kill("memgraph-0")
        await scene.wait_phase(Phase.FAILOVER)
        scene.kill("controller-0")
        scene.lead("controller-1")
        await scene.wait_writable("memgraph-1")
        await trio.sleep(1.0)
        reasons = boards["controller-1"].reasons()
        for reason in ("MainLost", "MainFenced"):
            assert reasons.count(reason) == 1, reasons
        assert "MainLost" not in boards["controller-0"].reasons()
        assert reasons.index("MainLost") < reasons.index("LeaderElected")
        nursery.cancel_scope.cancel()
