"""What a fence proves lasts until a main is given to clients again (S4).

A candidate that was promoted and died before the ledger gave it to anybody has acknowledged nothing
through a gateway: nobody has to say that its node is dead (seed 290820).
"""

from attrs import evolve
from sights import FENCED, OTHER, SYNC, A, B, decided, failing, promoted, refused, seen, view

from statemachine import events as e
from statemachine.cluster import Change, Cluster
from statemachine.commands import Demote
from statemachine.events import Event, Payload
from statemachine.evolve import evolve as fold
from statemachine.ids import Phase, Role
from statemachine.observations import Failure
from statemachine.plan import plan
from statemachine.snapshot import read_snapshot, snapshot_of

RENEWAL = Change(cause="", old_main=A, candidate=A, is_planned=True, needs_drain=True)
CUT = evolve(FENCED, change=RENEWAL)
SILENT = failing(seen(A), Failure.SILENT, 30)


def after(cluster: Cluster, *payloads: Payload) -> Cluster:
    """The cluster with these entries behind it."""
    for payload in payloads:
        match payload:
            case e.CandidateLost(candidate=None) | e.MainPromoted() | e.MainReturned():
                dest = Phase.DEGRADED
            case _:
                dest = Phase.FAILOVER
        cluster = fold(cluster, Event(payload, cluster.phase, dest, ""))
    return cluster


def test_a_renewed_main_that_died_before_it_served_needs_no_person() -> None:
    """Demoted, promoted, gone with its node before main_promoted: the other member takes over."""
    lost = after(CUT, e.MainFenced("demoted"), e.CandidateLost(B, "gone"))
    assert decided(lost, view(SILENT, SYNC, OTHER)) == "main_fenced"


def test_a_main_that_served_is_fenced_anew() -> None:
    """Nothing that was proved before clients met it says anything about it."""
    served = after(CUT, e.MainFenced("demoted"), e.MainPromoted(A, frozenset({A}), "none"))
    assert not served.is_fenced
    lost = evolve(CUT, change=Change("silent", A, B))
    sight = view(SILENT, SYNC, OTHER)
    assert "may still commit" in refused(lost, sight, "main_fenced").saw


def test_one_that_answers_is_demoted_first() -> None:
    """A live main is asked to step down, whatever was proved before."""
    lost = after(CUT, e.MainFenced("demoted"), e.CandidateLost(B, "disk"))
    sight = view(promoted(seen(A)), SYNC, OTHER)
    assert decided(lost, sight) == ""
    assert Demote(A, lost.term) in plan(lost, sight)
    demoted = view(seen(A, Role.REPLICA), SYNC, OTHER)
    assert decided(lost, demoted) == "main_fenced"


def test_the_word_of_a_person_is_no_proof_for_a_later_attempt() -> None:
    """Accepted was the loss of that candidate's attempt."""
    forced = evolve(CUT, change=Change("asked", A, B, is_forced=True, verdict="unknown"))
    fenced = after(forced, e.MainFenced("accepted by a person"))
    assert not fenced.is_fenced


def test_a_main_that_returned_is_fenced_anew() -> None:
    """It serves again: what was proved is over."""
    alone = evolve(CUT, sync=frozenset({A}))
    lost = after(alone, e.MainFenced("demoted"), e.CandidateLost(None, "gone"))
    assert lost.is_fenced
    assert not after(lost, e.MainReturned(A)).is_fenced


def test_the_proof_is_in_the_snapshot() -> None:
    """It survives the cut of the ledger."""
    fenced = after(CUT, e.MainFenced("demoted"))
    assert read_snapshot(snapshot_of(fenced, "hash").line).cluster.is_fenced
