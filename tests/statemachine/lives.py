"""Histories for tests: one sample of every payload, and a full life of a cluster as events.

Promise: written by hand, not by `decide`, so that a fault in deciding cannot hide in here.
"""

from statemachine import events as e
from statemachine.cluster import Cluster, Registration
from statemachine.events import Event, Payload
from statemachine.ids import Durability, Instance, Mode, Phase
from statemachine.ledger import Ledger

A, B, C = Instance("memgraph-0"), Instance("memgraph-1"), Instance("memgraph-2")
BO, OP, FO, DE = Phase.BOOTSTRAP, Phase.OPERATIONAL, Phase.FAILOVER, Phase.DEGRADED
UUID = "5f1c9a36-storage"
STRICT, ASYNC = Mode.STRICT_SYNC, Mode.ASYNC


def address(instance: Instance) -> str:
    """Where the main reaches a replica."""
    return f"127.0.0.{int(instance[-1]) + 10}:10000"


def opened(instance: Instance, generation: int, mode: Mode = STRICT) -> e.RegistrationOpened:
    """A registration under the name that this generation gives."""
    name = f"{instance.replace('-', '_')}_g{generation}"
    return e.RegistrationOpened(name, instance, mode, address(instance), f"uid-{instance}/0")


SAMPLES: tuple[Payload, ...] = (
    e.LeaderElected("controller-0/uid/1"),
    e.MainAppointed(A, UUID),
    e.ClusterAdopted(A, UUID, (Registration("found", B, STRICT, address(B), "u/1", True),), 4),
    e.BootstrapRefused("two mains with data"),
    opened(B, 7),
    e.RegistrationRetired("memgraph_1_g7", B, "it moved"),
    e.SyncJoined(B, "memgraph_1_g7"),
    e.SyncLost(B, "memgraph_1_g7"),
    e.MainLost(B, "the main is silent", True),
    e.MainLost(None, "the main refuses connections", False),
    e.RenewalStarted("memgraph-1 restarted", True, frozenset()),
    e.SwitchoverStarted(B, "the pod of memgraph-0 is being deleted"),
    e.SwitchoverStarted(B, "asked for by alice", "r-1"),
    e.FailoverForced(C, UUID, "asked for by alice", "unknown", "r-2"),
    e.Paused("alice", "node maintenance", 1_800_000_000, "r-3"),
    e.Resumed("the pause is over"),
    e.ObservingChanged(True, "r-4"),
    e.CooldownLifted("r-5"),
    e.RequestRefused("r-6", "switchover", "bob", "not while FAILOVER"),
    e.WouldHave("main_lost", "memgraph-1"),
    e.Drained(),
    e.DrainAbandoned("the marker did not go through in time"),
    e.MainFenced("demoted"),
    e.CandidateLost(B, "memgraph-0 is gone"),
    e.CandidateLost(None, "memgraph-0 is gone"),
    e.MainPromoted(B, frozenset({A}), "none"),
    e.MainReturned(A),
    e.ReadersChanged(frozenset({B, C})),
    e.InstanceRefused(B, "memgraph_1_g7", "Error: 3"),
    e.ResetOrdered(B),
    e.ResetCancelled(B, "another term"),
    e.ResetDone(B, 1_800_000_000),
    e.CopyReleased(B, 7),
    e.PolicyChanged(Durability.REQUIRED),
    e.DecisionRefused("main_lost", "memgraph-1", "subject_answers"),
    e.LedgerArchived(3, 384, "0f" * 16, (1,)),
)

ORDERED = 23  # the entry of LIFE that orders the reset which is done

LIFE: tuple[tuple[Payload, Phase], ...] = (
    (e.LeaderElected("controller-0/uid/1"), BO),
    (e.BootstrapRefused("two mains"), BO),
    (e.MainAppointed(A, UUID), DE),
    (e.MainPromoted(A, frozenset(), "none"), DE),
    (opened(B, 1), DE),
    (opened(C, 2, ASYNC), DE),
    (e.ReadersChanged(frozenset({B, C})), DE),
    (e.SyncJoined(B, "memgraph_1_g1"), OP),
    # the sync restarts, and the epoch is renewed in place
    (e.RenewalStarted("memgraph-1 restarted", True, frozenset()), FO),
    (e.Drained(), FO),
    (e.MainFenced("demoted"), FO),
    (opened(B, 3), FO),
    (e.MainPromoted(A, frozenset({B}), "none"), OP),
    (opened(C, 4, ASYNC), OP),
    # the main dies while a new leader takes over
    (e.MainLost(B, "the main refuses connections", False), FO),
    (e.LeaderElected("controller-1/uid/1"), FO),
    (e.MainFenced("dead"), FO),
    (e.MainPromoted(B, frozenset(), "none"), DE),
    (opened(A, 5), DE),
    (e.InstanceRefused(A, "memgraph_0_g5", "Error: 3"), DE),
    (e.ResetOrdered(A), DE),
    (e.ResetCancelled(A, "another term"), DE),
    (e.ResetOrdered(A), DE),
    (e.ResetDone(A, 1_800_000_000), DE),
    (opened(A, 6), DE),
    (e.SyncJoined(A, "memgraph_0_g6"), OP),
    (e.CooldownLifted("r-0"), OP),
    (e.CopyReleased(A, ORDERED), OP),
    # the sync is lost for good, and then the main for a while
    (e.SyncLost(A, "memgraph_0_g6"), DE),
    (e.RegistrationRetired("memgraph_0_g6", A, "it moved"), DE),
    (e.DecisionRefused("main_lost", "memgraph-1", "subject_answers"), DE),
    (e.MainLost(None, "the main is silent", True), DE),
    (e.MainReturned(B), DE),
    (e.PolicyChanged(Durability.REQUIRED), DE),
    (opened(A, 7), DE),
    (e.SyncJoined(A, "memgraph_0_g7"), OP),
    # a renewal whose main dies half-way
    (e.RenewalStarted("memgraph-0 restarted", True, frozenset()), FO),
    (e.DrainAbandoned("the marker did not go through in time"), FO),
    (e.MainFenced("demoted"), FO),
    (e.CandidateLost(A, "memgraph-1 is gone"), FO),
    (e.MainFenced("dead"), FO),
    (e.MainPromoted(A, frozenset(), "none"), DE),
    (opened(B, 8), DE),
    (e.SyncJoined(B, "memgraph_1_g8"), OP),
    # a planned change, and one that is taken back
    (e.SwitchoverStarted(B, "the pod of memgraph-0 is being deleted"), FO),
    (e.Drained(), FO),
    (e.MainFenced("demoted"), FO),
    (opened(A, 9), FO),
    (e.MainPromoted(B, frozenset({A}), "none"), OP),
    (e.RequestRefused("r-1", "switchover", "bob", "memgraph-1 is the main already"), OP),
    (e.ObservingChanged(True, "r-2"), OP),
    (e.WouldHave("sync_lost", "memgraph-0"), OP),
    (e.ObservingChanged(False, "r-3"), OP),
    (e.Paused("alice", "node maintenance", 1_800_000_000, "r-4"), OP),
    (e.Resumed("the pause is over"), OP),
    (e.SwitchoverStarted(A, "the pod of memgraph-1 is being deleted"), FO),
    (e.CandidateLost(B, "the marker did not go through in time"), FO),
    (e.MainFenced("demoted"), FO),
    (e.MainPromoted(B, frozenset(), "none"), DE),
    # a person gives up what only the main has
    (e.CooldownLifted("r-5"), DE),
    (e.FailoverForced(C, UUID, "asked for by alice", "unknown", "r-6"), FO),
    (e.MainFenced("accepted by a person"), FO),
    (e.MainPromoted(C, frozenset(), "unknown"), DE),
)


def event(payload: Payload, source: Phase, dest: Phase, why: str = "because") -> Event:
    """An event with a fact or two."""
    return Event(payload, source, dest, why, (("in_sync_set", "sync set: memgraph-1"),))


def appended(ledger: Ledger, payload: Payload, dest: Phase) -> Ledger:
    """The ledger with one more entry; ids and times follow from its length."""
    number = ledger.seq + 1
    at = f"2026-01-01T00:00:{number % 60:02d}.000Z"
    entry = event(payload, ledger.cluster.phase, dest)
    return ledger.append(entry, at=at, by="controller-0", entry_id=f"id-{number}")


def lived(steps: tuple[tuple[Payload, Phase], ...] = LIFE) -> Ledger:
    """The ledger of a life."""
    ledger = Ledger()
    for payload, dest in steps:
        ledger = appended(ledger, payload, dest)
    return ledger


def prefixes() -> list[Cluster]:
    """The cluster after every prefix of the full life, the empty one included."""
    ledger, clusters = Ledger(), [Ledger().cluster]
    for payload, dest in LIFE:
        ledger = appended(ledger, payload, dest)
        clusters.append(ledger.cluster)
    return clusters
