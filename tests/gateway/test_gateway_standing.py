"""How often a pod confirms its standing, and what it says while it cannot, in virtual time."""

import pytest
import trio
from trio.testing import MockClock

from controller.errors import KubeForbidden
from controller.kube import KubeTimes
from controller.standing import RETRY_S, Standing
from statemachine.ids import Seq, Term
from statemachine.observations import GatewayFacts

FENCE_S = 4.0
FACTS = GatewayFacts(pod="p", stamp="", acked_seq=Seq(1), rw_open=False, term=Term(1), vantage={})


class Leases:
    """A gateway's Lease that can be taken away from it."""

    def __init__(self, latency_s: float = 0.0) -> None:
        self.is_allowed, self.latency_s, self.puts = True, latency_s, 0

    async def put(self, facts: GatewayFacts) -> None:
        self.puts += 1
        await trio.sleep(self.latency_s)
        if not self.is_allowed:
            raise KubeForbidden("403: update leases")

    async def list_quorum(self) -> tuple[GatewayFacts, ...]:
        raise AssertionError("nobody asks here")


class Fence:
    """The deadline that the gateways were given last."""

    def __init__(self) -> None:
        self.until_s, self.slack_s = float("-inf"), float("inf")

    def serve_until(self, deadline_s: float) -> None:
        if self.until_s > 0:
            self.slack_s = min(self.slack_s, self.until_s - trio.current_time())
        self.until_s = deadline_s


class Head:
    """The ledger's head, on a server that takes its time; `lost` of the next reads get no answer
    until their limit strikes."""

    def __init__(self, latency_s: float = 0.0) -> None:
        self.latency_s, self.reads, self.lost = latency_s, 0, 0

    async def read(self) -> float | None:
        self.reads += 1
        sent_at_s = trio.current_time()
        if self.lost:
            self.lost -= 1
            await trio.sleep(KubeTimes().confirm_timeout_s)
            return None
        await trio.sleep(self.latency_s)
        return sent_at_s


def standing_of(leases: Leases, fence: Fence, head: Head) -> Standing:
    """The subject, with a self-fence as settings have it."""
    return Standing(
        self_fence_s=FENCE_S,
        leases=leases,
        read_head=head.read,
        gateways=fence,  # type: ignore[arg-type]
        facts=lambda: FACTS,
    )


async def test_a_quiet_pod_asks_three_times_in_a_self_fence(autojump_clock: MockClock) -> None:
    """A quiet pod reads the head and writes its Lease three times in GATEWAY_SELF_FENCE, and no
    more often: what a whole idle release costs the API server rests on it."""
    with trio.fail_after(300):
        leases, head = Leases(0.01), Head(0.01)
        standing = standing_of(leases, Fence(), head)
        await standing.obtain()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(standing.keep)
            await trio.sleep(120)
            nursery.cancel_scope.cancel()
    for count in (head.reads, leases.puts):
        assert 120 / FENCE_S * 3 - 2 <= count <= 120 / FENCE_S * 3 + 2


@pytest.mark.parametrize("latency_s", [0.01, 1.9])
async def test_a_slow_server_closes_nothing(autojump_clock: MockClock, latency_s: float) -> None:
    """An API server that takes nearly half of GATEWAY_SELF_FENCE for each answer closes no gateway:
    the next question does not wait for longer because the last answer was late."""
    with trio.fail_after(300):
        fence = Fence()
        standing = standing_of(Leases(latency_s), fence, Head(latency_s))
        await standing.obtain()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(standing.keep)
            await trio.sleep(60)
            nursery.cancel_scope.cancel()
    assert fence.slack_s > 0


async def test_one_lost_answer_closes_nothing(autojump_clock: MockClock) -> None:
    """A question that the network has swallowed is given up in time for another one."""
    with trio.fail_after(300):
        fence, head = Fence(), Head(0.01)
        standing = standing_of(Leases(0.01), fence, head)
        await standing.obtain()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(standing.keep)
            for _ in range(5):
                await trio.sleep(7)
                head.lost = 1
            await trio.sleep(7)
            nursery.cancel_scope.cancel()
    assert head.lost == 0
    assert fence.slack_s > 0


async def test_a_forbidden_lease_closes_writes_and_says_what_to_grant(
    autojump_clock: MockClock,
) -> None:
    """With 403 on its Lease a pod's RW closes GATEWAY_SELF_FENCE after the last good write (S6),
    although the head is read well; it says what happens and what to grant; when it is allowed
    again, RW opens and nothing is said any more."""
    with trio.fail_after(60):
        leases, fence = Leases(), Fence()
        standing = standing_of(leases, fence, Head())
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
