"""The gatekeeper by itself: what has to be so before a pod's gateways may use an upstream (S6, S7,
S10, S14), and when a cut is acknowledged."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import define, evolve, field
from fake_world import FakeGateways, World

from controller.gatekeeper import Gatekeeper
from controller.gateways import Kind, Route, Wish
from controller.ports import ProbeAnswer
from statemachine.ids import Incarnation, Instance, Mode, Role, Seq
from statemachine.observations import GatewayFacts
from statemachine.view import InstanceView, View

sys.path.append(str(Path(__file__).parents[1] / "statemachine"))

from sights import (
    FAILOVER,
    MAIN,
    NAME_B,
    NAME_C,
    OPERATIONAL,
    OTHER,
    ROWS,
    STORAGE,
    SYNC,
    WELL,
    A,
    B,
    C,
    row,
    view,
)

ANSWER = ProbeAnswer(Incarnation(1), Role.MAIN, "3.12.0", STORAGE, ROWS, None)
HERE = evolve(WELL, folded_at_s=-1.0)  # folded before anything below is asked


def here(*instances: InstanceView) -> View:
    """What this pod sees."""
    return evolve(view(*instances), folded_at_s=-1.0)


class Doors(FakeGateways):
    """Gateways of which a test exchanges what it wants to hear of."""


@define
class Keeper:
    """A gatekeeper on a world of one instance that answers as it is told."""

    answer: ProbeAnswer = ANSWER
    role: Role = Role.MAIN
    has_heads: bool = True
    calls: list[str] = field(factory=list)
    leases: list[GatewayFacts] = field(factory=list)
    cuts: list[Callable[[], None]] = field(factory=list)
    holds_cuts: bool = False
    gateways: Any = field(factory=lambda: Doors(World(), "c0"))
    wishes: Any = field(factory=lambda: trio.open_memory_channel[Wish](9))

    def made(self) -> Gatekeeper:
        """The product's own, on these."""
        self.gateways.mark = self.mark
        self.gateways.wait_wishes = self.wait_wishes
        return Gatekeeper(
            pod="c0",
            bolt_port=7687,
            self_fence_s=4.0,
            leases=self,
            reach=lambda instance: self,  # type: ignore[arg-type, return-value]
            read_head=self.read_head,
            gateways=self.gateways,
        )

    async def read_head(self) -> float | None:
        """The ledger's head."""
        sent_at_s = trio.current_time()
        await trio.sleep(0.01)
        self.calls.append("head")
        return sent_at_s if self.has_heads else None

    async def probe(self, *, count_nodes: bool = False) -> ProbeAnswer:
        """The instance answers."""
        await trio.sleep(0.01)
        self.calls.append("probe")
        return self.answer

    async def ping(self, incarnation: Incarnation) -> Role:
        """Its role alone."""
        await trio.sleep(0.01)
        return self.role

    async def put(self, facts: GatewayFacts) -> None:
        """The pod's Lease."""
        await trio.sleep(0.01)
        self.leases.append(facts)

    async def list_quorum(self) -> tuple[GatewayFacts, ...]:
        """Not asked here."""
        raise AssertionError

    def mark(self, number: int, tell: Callable[[int], None]) -> None:
        """Told once every session of before has ended."""
        self.cuts.append(lambda: tell(number))
        if not self.holds_cuts:
            tell(number)

    async def wait_wishes(self) -> tuple[Wish, ...]:
        """Sessions that were dialled."""
        return (await self.wishes[1].receive(),)

    def acked(self) -> int:
        """What the leader may read in the Lease."""
        return int(self.leases[-1].acked_seq)

    def writes_to(self) -> str:
        """Where RW leads."""
        route: Route = self.gateways.routes[Kind.RW]
        return route.upstreams[0].instance if route.upstreams else ""

    def reads_from(self) -> set[str]:
        """Where RO leads."""
        return {u.instance for u in self.gateways.routes[Kind.RO].upstreams}


async def start(nursery: trio.Nursery, keeper: Keeper) -> Gatekeeper:
    """A pod that has folded this and tries to serve it for some seconds."""
    made = keeper.made()
    made.follow(OPERATIONAL, HERE)
    nursery.start_soon(made.run)
    await trio.sleep(3)
    made.follow(OPERATIONAL, HERE)
    return made


async def test_a_main_that_is_what_the_ledger_says_is_served(
    autojump_clock: Any, nursery: Any
) -> None:
    """Else all the others below would prove nothing."""
    keeper = Keeper()
    await start(nursery, keeper)
    assert (keeper.writes_to(), keeper.reads_from()) == (A, {B, C})


async def test_the_head_is_read_after_the_dial(autojump_clock: Any, nursery: Any) -> None:
    """Who dials after reading may dial somebody who was deposed in between (S7)."""
    keeper = Keeper()
    made = keeper.made()
    made.follow(OPERATIONAL, HERE)
    await made.standing.obtain()
    assert await made._verify(made._target)  # type: ignore[arg-type]
    assert keeper.calls == ["probe", "head", "probe"]
    made._verified, keeper.has_heads = None, False
    assert not await made._verify(made._target)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "answer",
    [
        evolve(ANSWER, role=Role.REPLICA),
        evolve(ANSWER, role=Role.UNKNOWN),
        evolve(ANSWER, storage_uuid="another"),
        evolve(ANSWER, rows=()),
        evolve(ANSWER, rows=ROWS[1:]),
        evolve(ANSWER, rows=(row(NAME_B, B, Mode.ASYNC), ROWS[1])),
        evolve(ANSWER, rows=(row("memgraph_1_g9", B), ROWS[1])),
        evolve(ANSWER, rows=None),
    ],
    ids=["replica", "unknown", "foreign", "no rows", "no sync", "mode", "name", "not told"],
)
async def test_a_main_that_is_something_else_is_not_served(
    autojump_clock: Any, nursery: Any, answer: ProbeAnswer
) -> None:
    """Role, storage and the row of every member of the sync set are looked at before RW opens, for
    without such a row it would acknowledge what the sync replica lacks (S7, S10)."""
    keeper = Keeper(answer=answer)
    await start(nursery, keeper)
    assert "probe" in keeper.calls
    assert keeper.writes_to() == ""


async def test_an_async_replica_s_row_is_not_asked_for(autojump_clock: Any, nursery: Any) -> None:
    """It is owed nothing before an acknowledgement."""
    assert ROWS[1].name == NAME_C
    keeper = Keeper(answer=evolve(ANSWER, rows=ROWS[:1]))
    await start(nursery, keeper)
    assert keeper.writes_to() == A


@pytest.mark.parametrize(
    "changes", [{"role": Role.REPLICA}, {"incarnation": Incarnation(77)}, {"rows": ()}], ids=str
)
async def test_a_verified_main_is_looked_at_again(
    autojump_clock: Any, nursery: Any, changes: dict[str, Any]
) -> None:
    """DEMOTE keeps the process and its connections: the next probe that says otherwise closes RW at
    once (S7)."""
    keeper = Keeper()
    made = await start(nursery, keeper)
    assert keeper.writes_to() == A
    assert MAIN.answer is not None
    late_s = trio.current_time() + 1.0
    later = evolve(MAIN.answer, asked_at_s=late_s, at_s=late_s, **changes)
    made.follow(OPERATIONAL, here(evolve(MAIN, answer=later), SYNC, OTHER))
    assert keeper.writes_to() == ""


async def test_who_says_main_is_not_read(autojump_clock: Any, nursery: Any) -> None:
    """A replica that was promoted past the ledger would take writes through RO (S14)."""
    keeper = Keeper()
    made = await start(nursery, keeper)
    assert SYNC.answer is not None
    stray = evolve(SYNC, answer=evolve(SYNC.answer, role=Role.MAIN))
    made.follow(OPERATIONAL, here(MAIN, stray, OTHER))
    assert keeper.reads_from() == {C}


@pytest.mark.parametrize(
    ("kind", "says", "is_confirmed"),
    [
        (Kind.RW, Role.MAIN, True),
        (Kind.RW, Role.REPLICA, False),
        (Kind.RO, Role.REPLICA, True),
        (Kind.RO, Role.MAIN, False),
    ],
)
async def test_a_session_goes_on_when_its_upstream_says_the_right_role(
    autojump_clock: Any, nursery: Any, kind: Kind, says: Role, is_confirmed: bool
) -> None:
    """Asked after the dial, of the incarnation that was dialled (S7, S14)."""
    keeper = Keeper(role=says)
    await start(nursery, keeper)
    upstream = keeper.gateways.routes[kind].upstreams[0]
    await keeper.wishes[0].send(Wish(kind, upstream))
    await trio.sleep(0.02)
    assert [w.upstream for w in keeper.gateways.confirmed] == [upstream] * is_confirmed


async def test_a_cut_is_acknowledged_once_it_is_done(autojump_clock: Any, nursery: Any) -> None:
    """The leader promotes on this word: it comes after the route was taken away and after the last
    session has ended, however long that takes (S6)."""
    keeper = Keeper()
    made = await start(nursery, keeper)
    assert keeper.acked() == OPERATIONAL.seq
    keeper.holds_cuts = True
    made.follow(FAILOVER, HERE)
    assert keeper.writes_to() == ""
    await trio.sleep(3)
    made.follow(FAILOVER, HERE)
    await trio.sleep(3)
    assert keeper.acked() == OPERATIONAL.seq
    keeper.cuts[-1]()
    await trio.sleep(0.1)
    assert keeper.acked() == FAILOVER.seq


async def test_the_route_is_taken_away_before_the_cut_is_asked_for(
    autojump_clock: Any, nursery: Any
) -> None:
    """Else a session could begin behind the mark (S6)."""
    keeper = Keeper()
    made = await start(nursery, keeper)
    seen: list[str] = []

    def mark(number: int, tell: Callable[[int], None]) -> None:
        seen.append(keeper.writes_to())
        tell(number)

    keeper.gateways.mark = mark
    made.follow(FAILOVER, HERE)
    assert seen == [""]


async def test_an_instance_that_is_gone_is_no_reader(autojump_clock: Any, nursery: Any) -> None:
    """Of the ledger's readers only those that answer are read."""
    keeper = Keeper()
    made = await start(nursery, keeper)
    silent = evolve(OTHER, answer=None)
    made.follow(OPERATIONAL, here(MAIN, SYNC, silent))
    assert keeper.reads_from() == {Instance("memgraph-1")}


def test_the_numbers_of_this_page_make_sense() -> None:
    """The failover stands one entry after what is operational."""
    assert Seq(OPERATIONAL.seq + 1) == FAILOVER.seq
