"""What must hold after every event, also in production: a violated one opens no route.

Each is a named pure function of the step that answers with a sentence, or "" when it holds. The
numbers are those of the safety rules.
"""

from collections.abc import Callable

from statemachine import events as e
from statemachine.cluster import Cluster
from statemachine.events import Event
from statemachine.ids import Phase


class InvariantViolated(Exception):
    """A safety rule would not hold any more. Ours (a bug): not caught, opens no route."""


Invariant = Callable[[Cluster, Event, Cluster], str]


def seq_grows_by_one(before: Cluster, event: Event, after: Cluster) -> str:
    """The ledger has no gaps."""
    return "" if after.seq == before.seq + 1 else f"seq {before.seq} -> {after.seq}"


def term_never_falls(before: Cluster, event: Event, after: Cluster) -> str:
    """Terms only grow, by one at most."""
    ok = before.term <= after.term <= before.term + 1
    return "" if ok else f"term {before.term} -> {after.term}"


def one_main_per_term(before: Cluster, event: Event, after: Cluster) -> str:
    """S2: the main changes only in a term newer than the one in which the last was given."""
    if after.main == before.main or before.main is None:
        return ""
    return "" if after.main_term > before.main_term else f"second main in term {after.main_term}"


def only_sync_members_become_main(before: Cluster, event: Event, after: Cluster) -> str:
    """S3: a candidate and a main come from the sync set, but for one that a person named."""
    candidate = after.change.candidate if after.change else after.main
    if candidate is None or candidate in before.sync or candidate in after.sync - before.sync:
        first = isinstance(event.payload, e.MainAppointed | e.ClusterAdopted | e.FailoverForced)
        return (
            ""
            if candidate is None or candidate in before.sync or first
            else (f"{candidate} was not in the sync set")
        )
    return f"{candidate} is not in the sync set"


def candidate_only_changes_with_the_term(before: Cluster, event: Event, after: Cluster) -> str:
    """S2: a candidate is never exchanged within a term."""
    if before.change is None or after.change is None:
        return ""
    if before.change.candidate == after.change.candidate or after.term > before.term:
        return ""
    return f"candidate exchanged within term {after.term}"


def fence_precedes_promotion(before: Cluster, event: Event, after: Cluster) -> str:
    """S4: nobody is given to clients before the old main was fenced."""
    if not isinstance(event.payload, e.MainPromoted) or before.is_fresh:
        return ""
    fenced = before.change is not None and before.change.fence != ""
    return "" if fenced else "promoted without a fence"


def promoted_is_the_candidate(before: Cluster, event: Event, after: Cluster) -> str:
    """S2: who becomes main was recorded before."""
    if not isinstance(event.payload, e.MainPromoted):
        return ""
    recorded = before.change.candidate if before.change else before.main
    return "" if event.payload.main == recorded else f"{event.payload.main} was never recorded"


def change_exists_in_failover_only(before: Cluster, event: Event, after: Cluster) -> str:
    """A change of main is under way in FAILOVER, and only there."""
    ok = (after.change is not None) == (after.phase is Phase.FAILOVER)
    return "" if ok else f"phase {after.phase.value}, change {after.change}"


def no_writes_in_failover(before: Cluster, event: Event, after: Cluster) -> str:
    """S4: RW is closed while the main changes."""
    return "RW open in FAILOVER" if after.phase is Phase.FAILOVER and after.rw_open else ""


def fences_end_with_writes(before: Cluster, event: Event, after: Cluster) -> str:
    """S4: what a fence has proved is over once clients may write again."""
    return "RW open behind a fence" if after.is_fenced and after.rw_open else ""


def main_is_in_sync_set(before: Cluster, event: Event, after: Cluster) -> str:
    """S3: the main holds every acknowledged write."""
    return "" if after.main is None or after.main in after.sync else "main outside the sync set"


def operational_has_two_copies(before: Cluster, event: Event, after: Cluster) -> str:
    """OPERATIONAL means that another instance holds every acknowledged write too."""
    ok = after.phase is not Phase.OPERATIONAL or (len(after.sync) >= 2 and after.rw_open)
    return "" if ok else "OPERATIONAL with one copy"


def sync_members_are_registered(before: Cluster, event: Event, after: Cluster) -> str:
    """S3: outside FAILOVER each sync replica has a present, joined name."""
    if after.phase is Phase.FAILOVER or after.is_main_lost:
        return ""  # nobody writes
    joined = {r.instance for r in after.registrations if r.is_joined}
    missing = after.sync_replicas - joined
    return f"no name for {sorted(missing)}" if missing else ""


def names_are_never_reused(before: Cluster, event: Event, after: Cluster) -> str:
    """S8: a new name carries a generation above all earlier ones."""
    if not isinstance(event.payload, e.RegistrationOpened):
        return ""
    wanted = f"_g{after.generation}"
    ok = event.payload.name.endswith(wanted) and after.generation > before.generation
    return "" if ok else f"{event.payload.name} does not end in {wanted}"


def storage_never_changes(before: Cluster, event: Event, after: Cluster) -> str:
    """S10: the cluster's identity is set once; anew only where nobody could ever write."""
    is_first = before.is_fresh and isinstance(event.payload, e.MainAppointed)
    ok = before.storage_uuid in ("", after.storage_uuid) or is_first
    return "" if ok else f"storage {before.storage_uuid} -> {after.storage_uuid}"


def appointed_over_nothing(before: Cluster, event: Event, after: Cluster) -> str:
    """Only a cluster whose main was never given to clients is begun anew."""
    if not isinstance(event.payload, e.MainAppointed):
        return ""
    ok = before.main is None or (before.is_fresh and not before.rw_open)
    return "" if ok else f"{before.main} was main, and {event.payload.main} is appointed over it"


def resets_spare_the_copies(before: Cluster, event: Event, after: Cluster) -> str:
    """S12: neither the main nor a member of the sync set is reset."""
    if not isinstance(event.payload, e.ResetOrdered):
        return ""
    spared = event.payload.instance not in after.sync
    return "" if spared else f"{event.payload.instance} holds acknowledged writes"


def copies_outlive_their_need(before: Cluster, event: Event, after: Cluster) -> str:
    """S12: a copy that was set aside is released once, by an entry that names it, while every
    write has two other copies, and only after a person has looked if it may be the last one."""
    was = {s for s in before.set_aside if s.is_released}
    released = [s for s in after.set_aside if s.is_released and s not in was]
    if not isinstance(event.payload, e.CopyReleased):
        unasked = [s.token for s in released if before.copy_of(s.instance, s.token) not in was]
        return f"{event.trigger} released {unasked}" if unasked else ""
    if len(released) != 1 or before.refusal_of(event.payload.instance) is not None:
        return f"{event.payload.instance} has no such copy, or is refused again"
    if released[0].needs_a_person:
        return f"copy {released[0].token} may be the last one: {released[0].verdict}"
    return "" if len(before.sync) >= 2 else "released with one copy of every write"


def readers_are_not_writable(before: Cluster, event: Event, after: Cluster) -> str:
    """S14: neither the main nor a candidate is offered to readers."""
    writable = {after.main, after.change.candidate if after.change else None}
    wrong = after.readers & {w for w in writable if w is not None}
    return f"readers on {sorted(wrong)}" if wrong else ""


def archives_only_grow(before: Cluster, event: Event, after: Cluster) -> str:
    """What has moved into an archive is behind us: numbers and positions grow, and what a reader
    may count on is never given up beyond the last one."""
    was, now = before.archived, after.archived
    if was == now:
        return ""
    if now is None or not isinstance(event.payload, e.LedgerArchived):
        return f"{event.trigger} changed the archives"
    numbers = (was.last if was else 0) < now.last and (was.first if was else 1) <= now.first
    positions = (was.upto if was else 0) < now.upto < after.seq
    ok = numbers and positions and now.first <= now.last
    return "" if ok else f"archives {was} -> {now}"


INVARIANTS: tuple[Invariant, ...] = (
    seq_grows_by_one,
    term_never_falls,
    one_main_per_term,
    only_sync_members_become_main,
    candidate_only_changes_with_the_term,
    fence_precedes_promotion,
    promoted_is_the_candidate,
    change_exists_in_failover_only,
    no_writes_in_failover,
    fences_end_with_writes,
    main_is_in_sync_set,
    operational_has_two_copies,
    sync_members_are_registered,
    names_are_never_reused,
    storage_never_changes,
    appointed_over_nothing,
    resets_spare_the_copies,
    copies_outlive_their_need,
    readers_are_not_writable,
    archives_only_grow,
)


def check(before: Cluster, event: Event, after: Cluster) -> None:
    """Nothing when all hold.

    Raises:
        InvariantViolated: names every one that does not, with its sentence.
    """
    broken = [
        f"{invariant.__name__}: {sentence}"
        for invariant in INVARIANTS
        if (sentence := invariant(before, event, after))
    ]
    if broken:
        raise InvariantViolated(f"after {event.trigger}: {'; '.join(broken)}")
