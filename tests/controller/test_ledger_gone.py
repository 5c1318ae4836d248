"""A hand deletes the ledger and pods that remember nothing start over it: what is told by the
gateways' Leases, which outlive it, keeps them from beginning a second history (S16)."""

from typing import Any

import trio
from attrs import evolve
from test_chronicle import BARRIER, made
from test_pod_flow import LIMIT_S, Scene, make_stored, operational

from statemachine.events import Event, LeaderElected
from statemachine.ids import Phase, Seq
from statemachine.ledger import Ledger, fold

PODS = ("controller-0", "controller-1")


def lose_it(scene: Scene) -> dict[str, str]:
    """All controller processes end and the ledger is deleted; what stood in it."""
    for name in PODS:
        scene.kill(name)
    data = dict(scene.world.stored.data)
    scene.world.stored, scene.world.leader = None, ""
    return data


async def test_nobody_begins_a_second_history(autojump_clock: Any, nursery: Any) -> None:
    """The same pods start again: they write over their own Leases, which go on telling of the
    ledger that was there. Nothing is written, nobody is served, and the leader says what to do and
    gives the Lease back; once the ledger is put back it goes on."""
    scene = Scene(nursery)
    with trio.fail_after(LIMIT_S):
        await operational(scene)
        data = lose_it(scene)
        for name in PODS:
            await scene.start(name)
        await trio.sleep(10)
        assert scene.world.stored is None
        assert [g.writable() for g in scene.gateways.values()] == [None, None]
        for name in PODS:
            trouble = scene.pods[name].loop.chronicle.trouble
            assert f"a gateway has acknowledged entry {len(data)}" in trouble
            assert "put it back, or, to begin anew" in trouble
        assert scene.world.leader == ""
        scene.world.stored = make_stored(scene, data)
        scene.lead("controller-1")
        await scene.wait_writable("memgraph-0")
        assert data.items() < scene.world.stored.data.items()
        nursery.cancel_scope.cancel()


async def test_who_remembers_nothing_gives_way(autojump_clock: Any, nursery: Any) -> None:
    """Another pod may remember it: it leads next, and restores it."""
    scene = Scene(nursery)
    with trio.fail_after(LIMIT_S):
        await operational(scene)
        before = dict(scene.world.stored.data)
        scene.kill("controller-0")
        scene.world.stored, scene.world.leader = None, "nobody"
        await scene.start("controller-2")
        scene.lead("controller-2")
        await scene.wait(lambda: scene.world.leader == "", "the Lease given back")
        assert scene.world.stored is None
        scene.lead("controller-1")
        await scene.wait_writable("memgraph-0")
        assert before.items() < scene.world.stored.data.items()
        nursery.cancel_scope.cancel()


async def test_nothing_begins_before_the_leases_are_known(
    autojump_clock: Any, nursery: Any
) -> None:
    """Until they were listed nobody can tell whether there was a ledger."""
    scene = Scene(nursery)
    with trio.fail_after(LIMIT_S):
        await operational(scene)
        lose_it(scene)
        scene.world.unlisted.add("controller-0")
        await scene.start("controller-0")
        await trio.sleep(10)
        assert scene.world.stored is None
        scene.world.leases.clear()
        scene.world.unlisted.clear()
        await scene.wait_phase(Phase.OPERATIONAL)
        nursery.cancel_scope.cancel()


async def test_who_deletes_the_leases_too_begins_anew(autojump_clock: Any, nursery: Any) -> None:
    """While the controllers are stopped: then nothing tells of a history any more, and the cluster
    is adopted as it is, or begun where it is empty."""
    scene = Scene(nursery)
    with trio.fail_after(LIMIT_S):
        await operational(scene)
        lose_it(scene)
        scene.world.leases.clear()
        await scene.start("controller-0")
        await scene.wait_phase(Phase.OPERATIONAL)
        assert "cluster_adopted" in scene.triggers()
        nursery.cancel_scope.cancel()


async def test_nobody_restores_without_an_entry_that_was_written(
    autojump_clock: Any, nursery: Any
) -> None:
    """The leader writes an entry and ends, and a hand takes it away before anybody has seen it; the
    seal still tells of it. Who leads next waits until it is put back."""
    scene = Scene(nursery)
    with trio.fail_after(LIMIT_S):
        await operational(scene)
        known = dict(scene.world.stored.data)
        barrier = Event(LeaderElected("x/1"), Phase.OPERATIONAL, Phase.OPERATIONAL, "because")
        whole = fold(known).append(barrier, at="now", by="x", entry_id="e" * 16)
        scene.kill("controller-0")
        scene.world.stored = evolve(make_stored(scene, known), annotations=whole.annotations)
        scene.lead("controller-1")
        loop = scene.pods["controller-1"].loop
        told = f"event {whole.seq} was written, and this pod knows only {whole.seq - 1}"
        await scene.wait(lambda: loop.trouble == told, told)
        await scene.wait(lambda: scene.world.leader == "", "the Lease given back")
        assert scene.world.stored.data == known
        put_back = make_stored(scene, whole.data)
        scene.world.stored = evolve(put_back, annotations=whole.annotations)
        scene.lead("controller-1")
        await scene.wait_writable("memgraph-0")
        assert whole.data.items() < scene.world.stored.data.items()
        nursery.cancel_scope.cancel()


async def test_who_loses_the_lease_while_it_restores_leads_no_more(
    autojump_clock: Any, nursery: Any
) -> None:
    """What is written was verified, and stays; the barrier behind it is the next leader's (S1)."""
    scene = Scene(nursery)
    with trio.fail_after(LIMIT_S):
        await operational(scene)
        loop = scene.pods["controller-0"].loop
        restore = loop.chronicle.restore

        async def deposed_meanwhile() -> None:
            await restore()
            loop.reign("", None)

        loop.chronicle.restore = deposed_meanwhile  # type: ignore[method-assign]
        known = dict(scene.world.stored.data)
        scene.world.stored = None
        scene.world.stir()
        await scene.wait(lambda: scene.world.stored is not None, "restored")
        await trio.sleep(5)
        assert loop.view.identity == ""
        assert scene.world.stored.data == known
        scene.lead("controller-1")
        await scene.wait(lambda: scene.cluster.leader.startswith("controller-1"), "a barrier")
        nursery.cancel_scope.cancel()


async def test_what_is_heard_counts_whenever_it_comes() -> None:
    """Before or after the read that finds nothing; a ledger that is there is believed."""
    early, _ = await made()
    early.hear(Seq(0))
    assert early.trouble == ""
    early.hear(Seq(3))
    assert "the ledger is gone: a gateway has acknowledged entry 3" in early.trouble
    early.hear(Seq(2))
    await early.read()
    assert "entry 3" in early.trouble

    there, store = await made()
    assert await there.append(BARRIER)
    there.hear(Seq(9))
    assert there.trouble == ""
    store.stored = None
    await there.read()
    assert there.trouble == "the ledger was deleted"


async def test_a_ledger_that_is_put_back_is_taken() -> None:
    """The trouble is over, and entries are appended behind it."""
    chronicle, store = await made()
    chronicle.hear(Seq(1))
    kept = Ledger().append(BARRIER, at="now", by="me", entry_id="a" * 16)
    store.stored = await store.create(kept.data, kept.annotations)
    await chronicle.read()
    assert (chronicle.trouble, chronicle.ledger) == ("", kept)
