"""plan(cluster, view) -> the commands owed to the outside, computed from state on every turn.

A lost reply or a restart costs a moment, not the cluster: what is still owed is owed again. What a
newcomer gets wrong: a command is owed because of what *is* (the ledger says candidate, the probe
says REPLICA), never because something just happened.
"""

from collections.abc import Iterator

from statemachine import facts as f
from statemachine.cluster import Cluster, Registration
from statemachine.commands import (
    CloseRequest,
    Command,
    Demote,
    Drop,
    EndIncarnation,
    ListGateways,
    Mark,
    Promote,
    Register,
    ReleaseCopies,
    Restart,
    WithdrawResetToken,
    WriteResetToken,
)
from statemachine.facts import Situation
from statemachine.guards import gateways_have_cut, marker_went_through
from statemachine.ids import Instance, Phase, Role, RowStatus
from statemachine.observations import PodFacts
from statemachine.upkeep import serving_main
from statemachine.view import View

UNSETTLED_S = 5.0  # a reply that is not there by then will not come; end that incarnation (S9)


def plan(cluster: Cluster, view: View) -> tuple[Command, ...]:
    """Everything owed now; nothing while this process does not lead, or before its barrier."""
    if not view.identity or cluster.leader != view.identity:
        return ()
    if f.is_idle(cluster, view):
        return tuple(_close_requests(cluster, view))
    return (*_close_requests(cluster, view), *_owed(cluster, view))


def _close_requests(cluster: Cluster, view: View) -> Iterator[Command]:
    """Answered requests are removed, so that they are not read for ever."""
    for seen in view.requests:
        if seen.request.id in cluster.answered:
            yield CloseRequest(seen.request.id)


def _owed(cluster: Cluster, view: View) -> Iterator[Command]:
    yield from _settle(cluster, view)
    if cluster.phase is Phase.BOOTSTRAP:
        return
    is_changing = cluster.phase is Phase.FAILOVER or cluster.is_fresh
    is_closed = not cluster.rw_open and view.gateways_read_after < cluster.rw_closed_seq
    if view.is_blind or is_closed:
        yield ListGateways(cluster.rw_closed_seq, cluster.term)
    if is_changing:
        yield from _change_main(cluster, view)
    yield from _demote_strays(cluster, view)
    main = serving_main(cluster, view)
    if main is not None and f.rows_are_current(view, main):
        yield from _registrations(cluster, view, main)
    yield from _resets(cluster, view)
    yield from _releases(cluster, view)


def _settle(cluster: Cluster, view: View) -> Iterator[Command]:
    """Role commands whose outcome stays unknown: end the process that they were sent to."""
    for seen in view.instances:
        if seen.unsettled is None or seen.pod is None or seen.pod.deleting:
            continue
        if view.now_s - seen.unsettled.since_s >= UNSETTLED_S:
            yield EndIncarnation(seen.instance, seen.pod.uid, cluster.term)


def _change_main(cluster: Cluster, view: View) -> Iterator[Command]:
    """Cut, drain, demote the old main, promote the candidate: in this order, each after the
    event that allows it is in the ledger (S1, S4, S5)."""
    change = cluster.change
    candidate = change.candidate if change else cluster.main
    if candidate is None:
        return
    situation = Situation(cluster, view, candidate)
    if not gateways_have_cut(situation).ok:
        return
    if change is not None and not change.fence:
        yield from _fence(situation)
    elif _may_command(view, candidate) and not _is_promoted(cluster, view, candidate):
        yield Promote(candidate, cluster.term)


def _fence(s: Situation) -> Iterator[Command]:
    change = s.cluster.change
    if change is None or change.old_main is None:
        return
    if change.needs_drain and not change.is_drained:
        names = tuple(sorted(r.name for r in s.cluster.registrations if r.is_joined))
        ready = f.rows_are_current(s.view, change.old_main)
        if ready and not marker_went_through(s).ok:
            yield Mark(change.old_main, s.cluster.term, names)
    elif s.view.answers_as(change.old_main, Role.MAIN) and _may_command(s.view, change.old_main):
        yield Demote(change.old_main, s.cluster.term)


def _may_command(view: View, instance: Instance) -> bool:
    """It answered since the last command on it ended, and no earlier role command to it may still
    be carried out (S9)."""
    seen = view.instance(instance)
    is_current = seen.answer is not None and seen.answer.asked_at_s >= seen.touched_at_s
    return is_current and view.is_answering(instance) and seen.unsettled is None


def _is_promoted(cluster: Cluster, view: View, instance: Instance) -> bool:
    seen = view.instance(instance)
    done, answer = seen.promotion, seen.answer
    if done is None or answer is None or done.term != cluster.term:
        return False
    is_old_answer = answer.asked_at_s < done.at_s  # not asked again since: wait for the next probe
    return is_old_answer or (answer.incarnation == done.incarnation and answer.role is Role.MAIN)


def _demote_strays(cluster: Cluster, view: View) -> Iterator[Command]:
    for instance in f.stray_mains(cluster, view):
        if _may_command(view, instance):
            yield Demote(instance, cluster.term)


def _registrations(cluster: Cluster, view: View, main: Instance) -> Iterator[Command]:
    if f.epoch_lacks_a_commit(cluster, view):
        yield Mark(main, cluster.term)
        return
    owned = {r.name for r in cluster.registrations}
    rows = view.instance(main).answer
    for row in (rows.rows if rows else None) or ():
        if row.name not in owned and _may_drop(cluster, view, main, row.name):
            yield Drop(main, row.name, cluster.term)
    wanting = []
    for r in cluster.registrations:
        if view.instance(main).row(r.name) is None:
            yield from _register(cluster, view, main, r)
        elif (
            not r.is_joined and r.mode is view.policy.mode and _wants_marker(cluster, view, main, r)
        ):
            wanting.append(r.name)
    if wanting:
        yield Mark(main, cluster.term, tuple(sorted(wanting)))


def _may_drop(cluster: Cluster, view: View, main: Instance, name: str) -> bool:
    """DROP crashed a live main while a recovery of that replica was queued: only while nobody
    writes, or on a row that has been unready for long (S8, L8). While writes are closed it waits
    until they are closed everywhere: a commit that waits for this very row would be acknowledged by
    one copy alone, which `required` excludes."""
    if not cluster.rw_open:
        return gateways_have_cut(Situation(cluster, view, main)).ok
    return view.instance(main).unready_for_s(name, view.now_s) >= view.policy.row_settle_s


def _register(cluster: Cluster, view: View, main: Instance, r: Registration) -> Iterator[Command]:
    """Only what answers as REPLICA right now: REGISTER of a silent one freezes the main (L9). No
    member of the sync set whose disk is gone, also when its name was opened before that (S10)."""
    if r.instance in cluster.sync and f.lost_its_copy(cluster, view, r.instance):
        return
    refused = any(x.name == r.name for x in view.refused_registrations)
    if not refused and view.answers_as(r.instance, Role.REPLICA):
        yield Register(main, r.instance, r.name, r.mode, r.address, cluster.term)


def _wants_marker(cluster: Cluster, view: View, main: Instance, r: Registration) -> bool:
    """Attached, and no marker of this term carried its present incarnation yet: one that a leader
    wrote before its term passed, without a chance to say so, proves nothing later. Under load the
    row is seldom seen idle; the marker itself is what proves completeness."""
    row, answer = view.instance(main).row(r.name), view.instance(r.instance).answer
    if row is None or answer is None or not view.is_answering(r.instance):
        return False
    if row.status not in (RowStatus.READY, RowStatus.REPLICATING) or (row.behind or 0) > 0:
        return False
    marker = view.instance(main).marker
    if marker is None or marker.term != cluster.term or r.name not in marker.names:
        return True
    return dict(marker.incarnations).get(r.instance) != answer.incarnation


def _resets(cluster: Cluster, view: View) -> Iterator[Command]:
    """The token first, then the pod, everything checked again before each. A token without an
    order is withdrawn, for the init container would carry it out at any later start; so is every
    token while the main is not whole, for a pod takes its time to stop, and what it holds may be
    all that is left (S12)."""
    orders = {r.instance: r.token for r in cluster.refused if r.token and r.term == cluster.term}
    is_well = _is_main_whole(cluster, view)
    for seen in view.instances:
        token = orders.get(seen.instance, 0)
        if not token or not is_well:
            if seen.token_written != 0:
                yield WithdrawResetToken(seen.instance, cluster.term)
        elif seen.token_written != token:
            yield WriteResetToken(seen.instance, token, cluster.term)
        elif seen.restarted_for != token and _may_restart(cluster, seen.pod):
            assert seen.pod is not None
            yield Restart(seen.instance, seen.pod.uid, token, cluster.term)


def _releases(cluster: Cluster, view: View) -> Iterator[Command]:
    """What the ledger has released, told once in each reign."""
    for seen in view.instances:
        known = (s for s in cluster.set_aside if s.instance == seen.instance)
        tokens = tuple(s.token for s in known if s.is_released)
        if tokens and seen.released_written != tokens:
            yield ReleaseCopies(seen.instance, tokens, cluster.term)


def _is_main_whole(cluster: Cluster, view: View) -> bool:
    """Whether the main answers as MAIN and with our storage right now. Else what it refused may be
    the last copy, and the event that says so need not be in the ledger yet (F17)."""
    main = cluster.main
    return main is not None and view.answers_as(main, Role.MAIN) and f.is_ours(cluster, view, main)


def _may_restart(cluster: Cluster, pod: PodFacts | None) -> bool:
    return cluster.phase is not Phase.FAILOVER and pod is not None and not pod.deleting
