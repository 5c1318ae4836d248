"""What the informers show, on real sockets: this release, complete, and again after every fault."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
import trio
from attrs import define, evolve, field
from kube_rooms import MAPS, NAMES, PODS, TIMES, Server, facts, pod, wait_until

from controller.kube import (
    KubeGatewayLeases,
    KubeInformers,
    KubeLedgerStore,
    Transport,
    pod_facts_of,
)
from controller.kube.split import Halves
from controller.sandbox.apiserver import CONFIGMAPS, Mode, Rule
from statemachine.observations import Container, PodFacts

FAST = evolve(TIMES, relist_min_s=0.3, relist_max_s=0.6, backoff_min_s=0.02, backoff_max_s=0.1)
COMPONENT = "app.kubernetes.io/component"


@define(eq=False)
class Shown:
    """The pictures that a handler got."""

    pictures: list[Any] = field(factory=list)
    troubles: list[str] = field(factory=list)

    async def one(self, picture: Any) -> None:
        """Handler with one argument."""
        self.pictures.append(picture)

    async def two(self, first: Any, second: Any) -> None:
        """Handler with two."""
        self.pictures.append((first, second))

    def last(self) -> Any:
        """What is believed now; None before the first picture."""
        return self.pictures[-1] if self.pictures else None


Watch = Callable[[Any, Callable[[str], None]], Awaitable[None]]


def start(nursery: trio.Nursery, watch: Watch, shown: Shown, *, two: bool = False) -> None:
    """Run an informer in the background."""
    handler = shown.two if two else shown.one
    nursery.start_soon(partial(watch, handler, shown.troubles.append))


@pytest.fixture
def informers(transport: Transport) -> KubeInformers:
    return KubeInformers(transport, NAMES, FAST)


async def test_pods_are_told_apart(
    informers: KubeInformers, transport: Transport, nursery: trio.Nursery
) -> None:
    """Instances by the StatefulSet's names, controllers by their component; the rest is neither."""
    for name in ("mg-memgraph-0", "mg-memgraph-10", "mg-memgraph-x", "mg-memgraph-01", "job-1"):
        await transport.request("POST", PODS, body=pod(name))
    controller = pod("mg-controller-0", **{COMPONENT: "controller"})
    await transport.request("POST", PODS, body=controller)
    alien = pod("mg-memgraph-1")
    alien["metadata"]["labels"]["app.kubernetes.io/instance"] = "mg2"
    await transport.request("POST", PODS, body=alien)
    shown = Shown()
    async with trio.open_nursery() as inner:
        start(inner, informers.watch_pods, shown, two=True)
        await wait_until(shown.last)
        inner.cancel_scope.cancel()
    instances, controllers = shown.last()
    assert [p.name for p in instances] == ["mg-memgraph-0", "mg-memgraph-10"]
    assert [p.name for p in controllers] == ["mg-controller-0"]


async def test_recreated_pod_has_its_new_uid(
    informers: KubeInformers, transport: Transport
) -> None:
    """A pod that was deleted and made anew is shown as another one."""
    first = await transport.request("POST", PODS, body=pod("mg-memgraph-0"))
    shown = Shown()
    async with trio.open_nursery() as inner:
        start(inner, informers.watch_pods, shown, two=True)
        await wait_until(shown.last)
        await transport.request("DELETE", f"{PODS}/mg-memgraph-0", body={"gracePeriodSeconds": 0})
        await wait_until(lambda: shown.last() == ((), ()))
        second = await transport.request("POST", PODS, body=pod("mg-memgraph-0"))
        await wait_until(lambda: shown.last()[0])
        inner.cancel_scope.cancel()
    assert shown.last()[0][0].uid == second["metadata"]["uid"] != first["metadata"]["uid"]


async def test_gateways_follow_their_leases(informers: KubeInformers, transport: Transport) -> None:
    """Each renewal is a new stamp; a deleted Lease vanishes."""
    leases, shown = KubeGatewayLeases(transport, NAMES, FAST), Shown()
    async with trio.open_nursery() as inner:
        start(inner, informers.watch_gateways, shown)
        await wait_until(lambda: shown.last() == ())
        await leases.put(facts(1))
        await wait_until(shown.last)
        await leases.put(facts(1))
        await wait_until(lambda: len(shown.pictures) == 3)
        await transport.request("DELETE", f"{NAMES.leases_path}/{NAMES.gateway_lease}")
        await wait_until(lambda: shown.last() == ())
        inner.cancel_scope.cancel()
    (first,), (second,) = shown.pictures[1:3]
    assert first.stamp != second.stamp
    assert first.acked_seq == second.acked_seq == 1


async def test_ledger_alone_is_watched(informers: KubeInformers, transport: Transport) -> None:
    """None while there is none, then each version as the store reads it; no other ConfigMap."""
    store, shown = KubeLedgerStore(transport, NAMES, FAST), Shown()
    async with trio.open_nursery() as inner:
        start(inner, informers.watch_ledger, shown)
        await wait_until(lambda: shown.pictures)
        await transport.request("POST", MAPS, body={"metadata": {"name": "mg-reset"}})
        base = await store.create({"00000001": "a\n"}, {})
        await wait_until(shown.last)
        await store.replace(base, {"00000001": "a\n", "00000002": "b\n"}, {"n": "1"})
        await wait_until(lambda: len(shown.last().data) == 2)
        inner.cancel_scope.cancel()
    assert shown.pictures == [None, base, await store.read()]


def freeze(server: Server) -> None:
    server.faults.set_mode(Mode.FROZEN)


def shut(server: Server) -> None:
    server.faults.set_mode(Mode.DOWN)


def part(server: Server) -> None:
    server.faults.set_mode(Mode.PARTITIONED)


def cut(server: Server) -> None:
    server.faults.cut()


def refuse(status: int, server: Server) -> None:
    server.faults.add(Rule("fail", status=status, count=3))
    server.faults.cut()


FAULTS: dict[str, Callable[[Server], None]] = {
    "down": shut,
    "frozen": freeze,
    "partition": part,
    "cut": cut,
    "500": partial(refuse, 500),
    "429": partial(refuse, 429),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_picture_is_right_again_after(
    server: Server, transport: Transport, fault: str
) -> None:
    """Whatever happens to the watch, it is told, and what was written meanwhile is shown soon after
    it is over, once."""
    times = evolve(FAST, request_timeout_s=0.3, read_grace_s=0.3)
    shown = Shown()
    made = await transport.request("POST", MAPS, body={"metadata": {"name": NAMES.ledger}})
    async with trio.open_nursery() as inner:
        start(inner, KubeInformers(transport, NAMES, times).watch_ledger, shown)
        await wait_until(lambda: server.faults.as_json()["watches"])
        FAULTS[fault](server)
        await wait_until(lambda: shown.troubles)
        server.store.replace(CONFIGMAPS, "default", NAMES.ledger, made | {"data": {"k": "v"}})
        server.faults.set_mode(Mode.OPEN)
        await wait_until(lambda: shown.last().data == {"k": "v"})
        await wait_until(lambda: shown.troubles[-1] == "")
        inner.cancel_scope.cancel()
    assert len(shown.pictures) == 2


async def test_picture_is_right_again_after_expiry(server: Server, transport: Transport) -> None:
    """A watch that fell behind what the server keeps (410) is followed by a list, silently."""
    shown = Shown()
    made = await transport.request("POST", MAPS, body={"metadata": {"name": NAMES.ledger}})
    async with trio.open_nursery() as inner:
        start(inner, KubeInformers(transport, NAMES, TIMES).watch_ledger, shown)
        await wait_until(lambda: server.faults.as_json()["watches"])
        server.store.replace(CONFIGMAPS, "default", NAMES.ledger, made | {"data": {"k": "v"}})
        server.store.compact()
        await wait_until(lambda: shown.last().data == {"k": "v"})
        inner.cancel_scope.cancel()
    assert shown.troubles == []


@pytest.mark.parametrize(
    ("state", "container"),
    [
        ({"running": {}}, Container.RUNNING),
        ({"waiting": {"reason": "CrashLoopBackOff"}}, Container.WAITING),
        ({"terminated": {"exitCode": 137}}, Container.TERMINATED),
        ({}, Container.UNKNOWN),
        (None, Container.UNKNOWN),
    ],
)
def test_pod_facts(state: Any, container: Container) -> None:
    """The database's container is the one of that name, wherever it stands."""
    raw = {
        "metadata": {"name": "p", "uid": "u", "deletionTimestamp": "2026-11-21T00:00:00Z"},
        "spec": {"nodeName": "n1"},
        "status": {
            "podIP": "10.0.0.1",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [
                {"name": "sidecar", "restartCount": 9, "state": {"running": {}}},
                {"name": "memgraph", "restartCount": 2, "state": state},
            ],
        },
    }
    assert pod_facts_of(raw) == PodFacts("p", "u", "10.0.0.1", True, True, container, 2, "n1")


@pytest.mark.parametrize("status", [None, [], {}, {"containerStatuses": "x", "conditions": [7]}])
def test_odd_pods_are_no_error(status: Any) -> None:
    """A pod without IP has ip ""; what cannot be read claims nothing."""
    assert pod_facts_of({"metadata": {"name": "p"}, "status": status}) == PodFacts("p", "")


def test_controller_pod_counts_its_only_container() -> None:
    """Without a container of the database's name the first one is meant."""
    raw = {"status": {"containerStatuses": [{"name": "controller", "state": {"running": {}}}]}}
    assert pod_facts_of(raw).container is Container.RUNNING


async def test_instances_of_another_release_are_watched_apart(
    transport: Transport, nursery: trio.Nursery
) -> None:
    """With a selector of their own, instances are found by it and controllers by our release; the
    picture is complete from the first one on, and follows both (S6)."""
    names = evolve(NAMES, statefulset="db", instance_selector="app.kubernetes.io/instance=theirs")
    theirs = {"app.kubernetes.io/instance": "theirs"}
    await transport.request("POST", PODS, body=pod("db-0", **theirs))
    await transport.request("POST", PODS, body=pod("db-1"))  # ours by its label: not theirs
    controller = {COMPONENT: "controller"}
    await transport.request("POST", PODS, body=pod("mg-controller-0", **controller))
    await transport.request("POST", PODS, body=pod("theirs-1", **theirs, **controller))
    shown = Shown()
    async with trio.open_nursery() as inner:
        start(inner, KubeInformers(transport, names, FAST).watch_pods, shown, two=True)
        await wait_until(shown.last)
        first = shown.last()
        await transport.request("POST", PODS, body=pod("db-2", **theirs))
        await wait_until(lambda: len(shown.last()[0]) == 2)
        await transport.request("POST", PODS, body=pod("mg-controller-1", **controller))
        await wait_until(lambda: len(shown.last()[1]) == 2)
        inner.cancel_scope.cancel()
    assert [[p.name for p in part] for part in first] == [["db-0"], ["mg-controller-0"]]
    assert [[p.name for p in part] for part in shown.last()] == [
        ["db-0", "db-2"],
        ["mg-controller-0", "mg-controller-1"],
    ]


async def test_trouble_of_either_part_is_told() -> None:
    """One part that is well does not hide what the other complains of; nothing is shown before
    both parts are there."""
    shown = Shown()
    halves = Halves(shown.two, shown.troubles.append)
    instances, controllers = PodFacts("db-0", "u0"), PodFacts("mg-controller-0", "u1")
    halves.first.trouble("forbidden")
    halves.second.trouble("")
    await halves.second.show(((), (controllers,)))
    assert not shown.pictures
    await halves.first.show(((instances,), ()))
    halves.first.trouble("")
    assert shown.troubles == ["forbidden", "forbidden", ""]
    assert shown.pictures == [((instances,), (controllers,))]
