"""Gateway Leases on real sockets: what a pod says is there, and stays."""

from datetime import datetime, timedelta, timezone

import pytest
import trio
from attrs import evolve
from fake_api import FakeApi
from kube_rooms import LEASES, NAMES, OTHER_NAMES, TIMES, Server, client_of, facts
from trio.testing import MockClock

from controller.errors import KubeRefused, KubeUnavailable
from controller.kube import KubeGatewayLeases, Transport, gateway_facts_of
from controller.sandbox.apiserver import LEASES as LEASE_KIND
from controller.sandbox.apiserver import Rule
from statemachine.ids import Seq

NAME = NAMES.gateway_lease
EAST = timezone(timedelta(hours=5))


@pytest.fixture
def leases(transport: Transport) -> KubeGatewayLeases:
    return KubeGatewayLeases(
        transport, NAMES, TIMES, now=lambda: datetime(2026, 11, 21, 5, 0, 0, tzinfo=EAST)
    )


async def test_put_creates_then_renews(leases: KubeGatewayLeases) -> None:
    """The first put makes the Lease, each later one moves its stamp, and it says what was put."""
    said = evolve(facts(4, rw_open=True, vantage={"mg-memgraph-0": "ok"}), ledger_format=7)
    await leases.put(said)
    (first,) = await leases.list_quorum()
    assert evolve(first, stamp="") == said
    assert first.vantage == {"mg-memgraph-0": "ok"}
    await leases.put(evolve(said, acked_seq=Seq(5)))
    (second,) = await leases.list_quorum()
    assert second.acked_seq == 5
    assert second.stamp != first.stamp


async def test_lease_has_no_owner_and_a_time_in_utc(
    leases: KubeGatewayLeases, server: Server
) -> None:
    """Deleting the pod takes nothing with it; renewTime is UTC with six digits."""
    await leases.put(facts())
    stored = server.store.get(LEASE_KIND, "default", NAME)
    assert "ownerReferences" not in stored["metadata"]
    assert stored["spec"]["renewTime"] == "2026-11-21T00:00:00.000000Z"
    assert stored["spec"]["holderIdentity"] == NAMES.pod_name


async def test_a_deleted_lease_is_made_again(
    leases: KubeGatewayLeases, transport: Transport
) -> None:
    """A put that finds its Lease gone makes it anew."""
    await leases.put(facts(1))
    await transport.request("DELETE", f"{LEASES}/{NAME}")
    await leases.put(facts(2))
    assert [f.acked_seq for f in await leases.list_quorum()] == [2]


async def test_another_writer_is_written_over(
    leases: KubeGatewayLeases, transport: Transport
) -> None:
    """After somebody's edit (409) the put reads again and succeeds."""
    await leases.put(facts(1))
    edited = await transport.request("GET", f"{LEASES}/{NAME}")
    edited["metadata"]["labels"]["edited"] = "yes"
    await transport.request("PUT", f"{LEASES}/{NAME}", body=edited)
    await leases.put(facts(2))
    assert [f.acked_seq for f in await leases.list_quorum()] == [2]


async def test_after_a_lost_answer_the_next_put_succeeds(
    leases: KubeGatewayLeases, server: Server
) -> None:
    """A put whose answer was lost fails; the next one succeeds although the version has moved."""
    await leases.put(facts(1))
    server.faults.add(Rule("lose_reply", verb="update"))
    with pytest.raises(KubeUnavailable):
        await leases.put(facts(2))
    await leases.put(facts(3))
    assert [f.acked_seq for f in await leases.list_quorum()] == [3]


async def test_a_restarted_pod_goes_on_with_its_lease(
    leases: KubeGatewayLeases, transport: Transport
) -> None:
    """A process that finds the Lease of its predecessor takes it over."""
    await leases.put(facts(1))
    await KubeGatewayLeases(transport, NAMES, TIMES).put(facts(9))
    assert [f.acked_seq for f in await leases.list_quorum()] == [9]


async def test_a_restarted_pod_keeps_what_its_predecessor_told(
    leases: KubeGatewayLeases, transport: Transport
) -> None:
    """S16: however often it restarts, until it has acknowledged something itself: a ledger that is
    gone may have left no other trace."""
    await leases.put(facts(7))
    for _ in range(2):
        again = KubeGatewayLeases(transport, NAMES, TIMES)
        await again.put(facts(0))
        await again.put(facts(0))
        (told,) = await leases.list_quorum()
        assert (told.acked_seq, told.earlier_seq, told.told_seq) == (0, 7, 7)
    await again.put(facts(3))
    (told,) = await leases.list_quorum()
    assert (told.acked_seq, told.earlier_seq, told.told_seq) == (3, 0, 3)


async def test_list_is_of_this_release_alone(leases: KubeGatewayLeases, server: Server) -> None:
    """Gateways of other pods are listed, those of other releases in the namespace are not."""
    await leases.put(facts(1))
    async with client_of(server, "token-b") as other:
        await KubeGatewayLeases(other, OTHER_NAMES, TIMES).put(facts(2))
        foreign = evolve(NAMES, release="mg2")
        await KubeGatewayLeases(other, foreign, TIMES).put(facts(3))
    found = await leases.list_quorum()
    assert {f.pod: f.acked_seq for f in found} == {
        "mg-controller-0": Seq(1),
        "mg-controller-1": Seq(2),
    }


def test_an_unreadable_lease_counts_as_open_and_unacknowledged() -> None:
    """Nobody is fenced by a Lease that cannot be understood."""
    notes = {
        "memgraph-controller/acked-seq": "-7",
        "memgraph-controller/rw-open": "perhaps",
        "memgraph-controller/vantage": "{",
        "memgraph-controller/term": None,
    }
    read = gateway_facts_of(
        NAMES, {"metadata": {"name": f"{NAMES.gateway_lease}", "annotations": notes}, "spec": []}
    )
    assert (read.pod, read.acked_seq, read.rw_open, read.term) == (NAMES.pod_name, 0, True, 0)
    assert read.vantage == {}
    assert read.ledger_format == 1


@pytest.mark.parametrize(("answers", "status"), [([404, 422], 422), ([404] * 4, 404)])
async def test_a_refused_lease_is_told(
    nursery: trio.Nursery, autojump_clock: MockClock, answers: list[int], status: int
) -> None:
    """What writing again cannot cure (a broken rule, a missing namespace) is a refusal."""
    api = FakeApi(nursery, refuse=[(answer, None) for answer in answers])
    with pytest.raises(KubeRefused) as caught:
        await KubeGatewayLeases(api.client(), NAMES, TIMES).put(facts())
    assert caught.value.status == status
