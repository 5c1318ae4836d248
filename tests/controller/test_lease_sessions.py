"""The gateway Lease tells how many sessions its pod carries."""

from controller.lease_sessions import LeasesWithSessions
from statemachine.ids import Seq, Term
from statemachine.observations import GatewayFacts

FACTS = GatewayFacts("controller-0", "", Seq(7), True, Term(3), vantage={"memgraph-0": "ok"})


class Kept:
    """Remembers what was put."""

    def __init__(self) -> None:
        self.put_last: list[GatewayFacts] = []

    async def put(self, facts: GatewayFacts) -> None:
        self.put_last.append(facts)

    async def list_quorum(self) -> tuple[GatewayFacts, ...]:
        return tuple(self.put_last)


async def test_a_write_carries_the_sessions_of_its_moment() -> None:
    """The count is asked at each write; everything else, the acknowledgement above all, is what the
    gatekeeper said; a listing comes through as it is."""
    kept, open_now = Kept(), iter((4, 9))
    leases = LeasesWithSessions(kept, lambda: next(open_now))
    await leases.put(FACTS)
    await leases.put(FACTS)
    assert [facts.sessions for facts in kept.put_last] == [4, 9]
    for facts in await leases.list_quorum():
        assert (facts.pod, facts.acked_seq, facts.rw_open, facts.term) == (
            FACTS.pod,
            FACTS.acked_seq,
            FACTS.rw_open,
            FACTS.term,
        )
        assert facts.vantage == FACTS.vantage
