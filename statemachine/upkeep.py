"""What is decided beside a change of main: registrations, readers, refused and reset instances."""

from collections.abc import Iterator

from statemachine import events as e
from statemachine import facts as f
from statemachine.cluster import Cluster, Registration
from statemachine.events import Payload
from statemachine.ids import Instance, Phase, Role, RowStatus
from statemachine.view import View

Wish = tuple[Payload, str, Instance | None, str]
"""payload, why, subject, name"""

DIVERGED = 3  # REGISTER's "Error: 3": the only one that says something about the data


def upkeep(cluster: Cluster, view: View) -> Iterator[Wish]:
    """What might be decided to get the replicas right, in order."""
    main = serving_main(cluster, view)
    if main is None or not f.rows_are_current(view, main):
        return
    yield from _retire(cluster, view, main)
    yield from _open(cluster, view, main)
    if cluster.phase in (Phase.OPERATIONAL, Phase.DEGRADED):
        yield from _readers(cluster, view, main)
        yield from _resets(cluster, view)
        yield from _releases(cluster, view)


def serving_main(cluster: Cluster, view: View) -> Instance | None:
    """The instance on which replicas are registered now: the main, or in a planned change the
    candidate once it is promoted and pinned; None while there is none."""
    if cluster.is_main_lost or cluster.is_fresh:
        return None
    change = cluster.change
    if change is None:
        return cluster.main
    done = view.instance(change.candidate).promotion
    is_pinned = done is not None and done.term == cluster.term
    return change.candidate if change.fence and change.needs_drain and is_pinned else None


def _retire(cluster: Cluster, view: View, main: Instance) -> Iterator[Wish]:
    """Names that cannot become what they should be."""
    refused = {r.name: r for r in view.refused_registrations}
    for r in cluster.registrations:
        answer = refused.get(r.name)
        row = view.instance(main).row(r.name)
        if answer is not None and answer.code == DIVERGED:
            text = f"{main} does not accept the data of {r.instance}: {answer.text}"
            yield e.InstanceRefused(r.instance, r.name, text), text, r.instance, r.name
        elif row is not None and row.status is RowStatus.DIVERGED and not r.is_joined:
            text = f"{main} calls {r.instance} diverged"
            yield e.InstanceRefused(r.instance, r.name, text), text, r.instance, r.name
        elif not r.is_joined and (reason := _why_retire(cluster, view, r, answer is not None)):
            yield e.RegistrationRetired(r.name, r.instance, reason), reason, r.instance, r.name


def _why_retire(cluster: Cluster, view: View, r: Registration, was_refused: bool) -> str:
    if was_refused:
        return f"{r.instance} was not accepted under {r.name}"
    address = f.replication_address(view, r.instance)
    if address and address != r.address:
        return f"{r.instance} moved from {r.address} to {address}"
    if r.mode is not f.wanted_mode(cluster, view, r.instance):
        return f"{r.instance} is registered as {r.mode.value}"
    main = serving_main(cluster, view)
    row = view.instance(main).row(r.name) if main is not None else None
    if row is None or main is None:
        return ""
    settled = view.instance(main).unready_for_s(r.name, view.now_s) >= view.policy.row_settle_s
    if row.status is RowStatus.ABSENT and settled:
        return f"{r.name} replicates nothing: its REGISTER failed, and nobody heard why"
    if row.status is RowStatus.INVALID and settled and _may_be_unknown_there(view, main, r):
        return f"{r.name} stays invalid since {main} restarted: its REGISTER was cut short"
    return _why_foreign(cluster, view, r, settled)


def _may_be_unknown_there(view: View, main: Instance, r: Registration) -> bool:
    """Whether the main ended, perhaps, before it had told the replica whom to follow. A restarted
    one only calls on it, and is turned away for ever (MEMGRAPH 1.6, 1.7)."""
    has_restarted = r.main_pod not in ("", view.instance(main).pod_incarnation)
    return has_restarted and view.answers_as(r.instance, Role.REPLICA)


def _why_foreign(cluster: Cluster, view: View, r: Registration, settled: bool) -> str:
    uuid = view.storage_uuid(r.instance)
    foreign = bool(uuid) and uuid != cluster.storage_uuid and view.is_answering(r.instance)
    if not foreign:
        return ""
    if not f.is_empty(view, r.instance):
        return f"{r.instance} carries the foreign storage {uuid}"
    return f"{r.instance} lost its data: registered anew, it takes ours" if settled else ""


def _open(cluster: Cluster, view: View, main: Instance) -> Iterator[Wish]:
    """Every instance that answers as REPLICA and has no name gets one."""
    for seen in view.instances:
        instance = seen.instance
        if instance == main or seen.pod is None or cluster.registration_of(instance):
            continue
        if not view.answers_as(instance, Role.REPLICA) or cluster.refusal_of(instance):
            continue
        if cluster.change is not None and instance not in cluster.sync:
            continue  # while clients wait, only those that they wait for
        if f.is_leaving(view, instance):
            continue  # it would be waited for, and lost, a moment later
        payload = e.RegistrationOpened(
            name=f.registration_name(instance, cluster.generation + 1),
            instance=instance,
            mode=f.wanted_mode(cluster, view, instance),
            address=f.replication_address(view, instance),
            pod=seen.pod_incarnation,
            main_pod=view.instance(main).pod_incarnation,
        )
        yield payload, f"{instance} answers as REPLICA and has no name", instance, payload.name


def _readers(cluster: Cluster, view: View, main: Instance) -> Iterator[Wish]:
    """Replicas whose row has been fit for reading; one leaves only after a grace."""
    rows = {r.instance: view.instance(main).row(r.name) for r in cluster.registrations}
    fit = {
        instance
        for instance, row in rows.items()
        if row is not None
        and row.status in (RowStatus.READY, RowStatus.REPLICATING)
        and view.answers_as(instance, Role.REPLICA)
    }
    staying = {
        r.instance
        for r in cluster.registrations
        if r.instance in cluster.readers
        and view.instance(main).unready_for_s(r.name, view.now_s) < view.policy.sync_grace_s
    }
    wanted = frozenset(fit | staying)
    if wanted != cluster.readers:
        why = f"readable: {', '.join(sorted(wanted)) or 'nobody'}"
        yield e.ReadersChanged(wanted), why, None, ""


def _resets(cluster: Cluster, view: View) -> Iterator[Wish]:
    """Refused instances: order, cancel, finish; first those that may become main."""
    for refused in sorted(cluster.refused, key=lambda r: r.instance not in view.policy.eligible):
        instance = refused.instance
        if refused.token and refused.term != cluster.term:
            reason = f"ordered in term {refused.term}, now it is {cluster.term}"
            yield e.ResetCancelled(instance, reason), reason, instance, ""
        elif refused.token and f.is_empty(view, instance):
            done = e.ResetDone(instance, int(view.wall_s))
            yield done, f"{instance} came back empty", instance, ""
        elif not refused.token:
            yield e.ResetOrdered(instance), refused.text, instance, ""


def _releases(cluster: Cluster, view: View) -> Iterator[Wish]:
    """Copies that were kept for as long as the settings say."""
    keep_s = view.policy.diverged_keep_s
    for copy in cluster.set_aside:
        if not copy.is_released and view.wall_s - copy.at_s >= keep_s:
            why = f"the copy {copy.token} of {copy.instance} was kept for {keep_s:.0f} s"
            payload = e.CopyReleased(copy.instance, copy.token)
            yield payload, why, copy.instance, str(copy.token)
