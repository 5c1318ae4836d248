"""A pod's standing as a gateway: what has to be fresh before anything opens (S6)."""

import math
from typing import Any

import pytest
import trio
from attrs import define, field
from fake_world import FakeGateways, World

from controller.errors import KubeUnavailable
from controller.standing import Standing
from statemachine.ids import Seq, Term
from statemachine.observations import GatewayFacts

FACTS = GatewayFacts("c0", "", Seq(0), rw_open=False, term=Term(0))
SELF_FENCE_S = 4.0


@define
class Api:
    """Whether Leases and heads are answered, and what was asked."""

    has_leases: bool = True
    has_heads: bool = True
    calls: list[str] = field(factory=list)

    async def put(self, facts: GatewayFacts) -> None:
        """The Lease."""
        await trio.lowlevel.checkpoint()
        self.calls.append("lease")
        if not self.has_leases:
            raise KubeUnavailable("down")

    async def list_quorum(self) -> tuple[GatewayFacts, ...]:
        """Not asked here."""
        raise AssertionError

    async def read_head(self) -> float | None:
        """The ledger's head."""
        sent_at_s = trio.current_time()
        await trio.lowlevel.checkpoint()
        self.calls.append("head")
        return sent_at_s if self.has_heads else None


def stand(api: Api) -> tuple[Standing, FakeGateways]:
    """A pod's standing before anything was asked."""
    gateways: Any = FakeGateways(World(), "c0")
    standing = Standing(
        self_fence_s=SELF_FENCE_S,
        leases=api,
        read_head=api.read_head,
        gateways=gateways,
        facts=lambda: FACTS,
    )
    return standing, gateways


async def keep(nursery: trio.Nursery, standing: Standing) -> None:
    """As the gatekeeper does: the Lease first."""
    await standing.obtain()
    nursery.start_soon(standing.keep)


async def test_nothing_opens_before_the_head_was_read(autojump_clock: Any, nursery: Any) -> None:
    """A watch may bring a ledger as a cache had it: whoever reads from it is of yesterday."""
    api = Api(has_heads=False)
    standing, _ = stand(api)
    await keep(nursery, standing)
    await trio.sleep(10)
    assert api.calls.count("head") > 1
    assert (standing.may_open, standing.is_fenced) == (False, True)

    api.has_heads = True
    await trio.sleep(2)
    assert (standing.may_open, standing.is_fenced) == (True, False)


async def test_a_lease_that_lapsed_is_a_new_one(autojump_clock: Any, nursery: Any) -> None:
    """A leader that listed the Lease while it was too old went on without us: a head that was read
    before the Lease was there again does not know of it (S6; found by the simulation)."""
    api = Api()
    standing, gateways = stand(api)
    await keep(nursery, standing)
    await trio.sleep(1)
    api.has_leases = False
    await trio.sleep(SELF_FENCE_S + 4)
    assert standing.is_fenced
    api.has_leases, api.has_heads = True, False
    await trio.sleep(1)
    assert api.calls[-20:].count("lease") >= 1
    assert standing.trouble == ""
    assert standing.is_fenced
    assert gateways.deadline_s == -math.inf

    api.has_heads = True
    await trio.sleep(0.2)
    assert not standing.is_fenced


async def test_a_lease_that_is_late_is_still_the_same(autojump_clock: Any, nursery: Any) -> None:
    """Within the self-fence nobody can have gone on without us: the heads read so far count."""
    api = Api()
    standing, _ = stand(api)
    await keep(nursery, standing)
    await trio.sleep(1)
    api.has_leases = False
    await trio.sleep(SELF_FENCE_S / 2)
    api.has_leases, api.has_heads = True, False
    await trio.sleep(0.3)
    assert not standing.is_fenced


async def test_the_lease_is_there_before_the_head_is_read(
    autojump_clock: Any, nursery: Any
) -> None:
    """The leader has to know of us before we can know of a route."""
    api = Api(has_leases=False)
    standing, gateways = stand(api)
    nursery.start_soon(keep, nursery, standing)
    await trio.sleep(10)
    assert "head" not in api.calls
    assert not standing.may_open
    assert gateways.deadline_s == 0.0

    api.has_leases = True
    await trio.sleep(2)
    assert standing.may_open


@pytest.mark.parametrize("lost", ["has_leases", "has_heads"])
async def test_writes_end_when_either_is_old(autojump_clock: Any, nursery: Any, lost: str) -> None:
    """Counted from when the last good request was sent."""
    api = Api()
    standing, gateways = stand(api)
    await keep(nursery, standing)
    await trio.sleep(10)
    setattr(api, lost, False)
    lost_at_s = trio.current_time()
    await trio.sleep(20)
    assert standing.is_fenced
    assert lost_at_s < gateways.deadline_s <= lost_at_s + SELF_FENCE_S
