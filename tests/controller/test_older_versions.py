"""Versions side by side: nothing is cut beside pods that could not read it, and who cannot read the
ledger writes nothing over it."""

from typing import Any

import pytest
import trio
from attrs import evolve
from test_archivist import SMALL, Busy
from test_pod_flow import LIMIT_S, POLICY, Scene, make_stored, operational

from statemachine.archive import who_cannot_read
from statemachine.ids import Seq, Term
from statemachine.ledger import FORMAT
from statemachine.observations import GatewayFacts, GatewaysListed, Ticked
from statemachine.observe import observe
from statemachine.view import View

OLDER = GatewayFacts("older", "0", Seq(0), rw_open=True, term=Term(1))


async def serve(scene: Busy, pod: str, *, ledger_format: int) -> None:
    """The Lease of a pod that follows the ledger, renewed as such pods do."""
    while True:
        stamp = str(next(scene.world.versions))
        facts = evolve(OLDER, pod=pod, stamp=stamp, acked_seq=scene.cluster.seq)
        scene.world.leases[pod] = evolve(facts, ledger_format=ledger_format)
        scene.world.stir()
        await trio.sleep(1)


async def test_nothing_is_cut_while_an_older_pod_serves(autojump_clock: Any, nursery: Any) -> None:
    """In an upgrade the ledger stays whole, however long it is, until the last pod that could not
    read it has surely closed; status says for whom it waits."""
    scene = Busy(nursery)
    with trio.fail_after(10 * LIMIT_S):
        await operational(scene)
        async with trio.open_nursery() as older:
            older.start_soon(lambda: serve(scene, "older", ledger_format=1))
            await scene.grow(30)
            await trio.sleep(30)
            assert len(scene.live.lines) > SMALL.live_entries
            assert not scene.world.archives
            said = scene.pods["controller-0"].all_troubles()["archiving"]
            assert said == "not cut before these pods of an older version are gone: older"
            older.cancel_scope.cancel()
        await scene.wait_cuts(1)
        scene.check_whole()
        assert not scene.pods["controller-0"].all_troubles()["archiving"]
        nursery.cancel_scope.cancel()


async def test_a_ledger_that_would_soon_be_full_is_cut_all_the_same(
    autojump_clock: Any, nursery: Any
) -> None:
    """Nobody waits until the API server refuses the next entry, for then no failover goes through;
    the older pod closes by itself (it takes what it cannot read for broken)."""
    scene = Busy(nursery)
    scene.limits = evolve(SMALL, urgent_bytes=12_000)
    with trio.fail_after(10 * LIMIT_S):
        await operational(scene)
        nursery.start_soon(lambda: serve(scene, "older", ledger_format=1))
        await scene.grow(30)
        await scene.wait_cuts(1)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("ledger_format", "age_s", "waited_for"),
    [(1, 0.0, True), (1, 4.9, True), (1, 5.1, False), (FORMAT, 0.0, False), (FORMAT + 1, 0, False)],
)
def test_who_is_waited_for(ledger_format: int, age_s: float, waited_for: bool) -> None:
    """Whoever may still serve and says nothing of archives; a Lease that has run out is nobody."""
    view = View(POLICY, started_at_s=0.0)
    listed = GatewaysListed(100.0, (evolve(OLDER, ledger_format=ledger_format),))
    view = observe(observe(view, listed), Ticked(100.0 + age_s, 0.0))
    assert who_cannot_read(view) == (("older",) if waited_for else ())


@pytest.mark.parametrize("damage", ["a line of a later version", "edited"])
async def test_a_leader_without_memory_writes_over_nothing(
    autojump_clock: Any, nursery: Any, damage: str
) -> None:
    """A pod that starts over a ledger which it cannot read (somebody edited it while no controller
    ran; a later version wrote it) restores nothing, opens nothing and says so, even when no
    gateway Lease tells of entries: an empty history would adopt whatever is there (S16). It gives
    the Lease back, for another pod may be able to read it."""
    scene = Scene(nursery)
    with trio.fail_after(LIMIT_S):
        await operational(scene)
        for name in ("controller-0", "controller-1"):
            scene.kill(name)
        data = dict(scene.world.stored.data)
        last = max(data)
        before, after = {"edited": ("memgraph-0", "memgraph-2")}.get(damage, ('"on":"', '"on":"x_'))
        data[last] = data[last].replace(before, after)
        scene.world.stored, scene.world.leader = make_stored(scene, data), ""
        scene.world.leases.clear()
        await scene.start("controller-2")
        await trio.sleep(20)
        assert scene.world.stored.data == data
        assert scene.gateways["controller-2"].writable() is None
        assert "verified no entry" in scene.pods["controller-2"].all_troubles()["append"]
        assert scene.world.leader == ""
        nursery.cancel_scope.cancel()
