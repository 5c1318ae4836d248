"""What a pod says while it may not write its gateway Lease, in virtual time."""

import trio
from trio.testing import MockClock

from controller.errors import KubeForbidden
from controller.standing import RETRY_S, Standing
from statemachine.ids import Seq, Term
from statemachine.observations import GatewayFacts

FENCE_S = 4.0
FACTS = GatewayFacts(pod="p", stamp="", acked_seq=Seq(1), rw_open=False, term=Term(1), vantage={})


class Leases:
    """A gateway's Lease that can be taken away from it."""

    def __init__(self) -> None:
        self.is_allowed = True

    async def put(self, facts: GatewayFacts) -> None:
        await trio.lowlevel.checkpoint()
        if not self.is_allowed:
            raise KubeForbidden("403: update leases")

    async def list_quorum(self) -> tuple[GatewayFacts, ...]:
        raise AssertionError("nobody asks here")


class Fence:
    """The deadline that the gateways were given last."""

    until_s = float("-inf")

    def serve_until(self, deadline_s: float) -> None:
        self.until_s = deadline_s


async def _read_head() -> float | None:
    return trio.current_time()


async def test_a_forbidden_lease_closes_writes_and_says_what_to_grant(
    autojump_clock: MockClock,
) -> None:
    """With 403 on its Lease a pod's RW closes GATEWAY_SELF_FENCE after the last good write (S6),
    although the head is read well; it says what happens and what to grant; when it is allowed
    again, RW opens and nothing is said any more."""
    with trio.fail_after(60):
        leases, fence = Leases(), Fence()
        standing = Standing(
            self_fence_s=FENCE_S,
            leases=leases,
            read_head=_read_head,
            gateways=fence,  # type: ignore[arg-type]
            facts=lambda: FACTS,
        )
        await standing.obtain()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(standing.keep)
            await trio.sleep(3)
            assert fence.until_s > trio.current_time()
            assert not standing.is_fenced
            leases.is_allowed = False
            await trio.sleep(FENCE_S + 1)
            assert fence.until_s <= trio.current_time()
            assert standing.is_fenced
            assert standing.head_at_s > trio.current_time() - 2
            for word in ("403", "close 4 s after", "Role", "create, get and update of leases"):
                assert word in standing.trouble
            leases.is_allowed = True
            await trio.sleep(2 * RETRY_S)
            assert not standing.is_fenced
            assert standing.trouble == ""
            nursery.cancel_scope.cancel()
