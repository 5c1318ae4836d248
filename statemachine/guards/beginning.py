"""Guards of a reign's and of a cluster's beginning."""

from statemachine import facts as f
from statemachine.facts import Situation
from statemachine.guards.base import Fact
from statemachine.ids import Instance, Role


def reign_is_new(s: Situation) -> Fact:
    """The ledger does not know the present leader yet."""
    return Fact(s.cluster.leader != s.view.identity, f"leader was {s.cluster.leader or 'none'}")


def pods_are_known(s: Situation) -> Fact:
    """The pods were listed: without them nobody knows who is missing."""
    return Fact(s.view.pods_known, "listed" if s.view.pods_known else "not listed yet", True)


def eligible_answer(s: Situation) -> Fact:
    """Every instance that may become main answers (by name: waiting for any two is not enough)."""
    missing = [i for i in s.view.policy.eligible if not _is_counted(s, i)]
    return Fact(not missing, f"waiting for {', '.join(missing)}" if missing else "all answer", True)


def _is_counted(s: Situation, instance: Instance) -> bool:
    answer = s.view.instance(instance).answer
    return s.view.is_answering(instance) and answer is not None and answer.node_count is not None


def proven_empty(s: Situation) -> Fact:
    """Every eligible instance was counted and holds no node, and no main has replicas."""
    full = [i for i in s.view.policy.eligible if not f.is_empty(s.view, i)]
    answers = ((i.instance, i.answer) for i in s.view.instances)
    leading = [name for name, a in answers if a is not None and a.rows]
    saw = f"with data: {', '.join(full) or 'none'}; with replicas: {', '.join(leading) or 'none'}"
    return Fact(not full and not leading, saw)


def no_instance_has_data(s: Situation) -> Fact:
    """Nobody else holds nodes either: an appointment must not hide data."""
    others = (i for i in s.view.instances if i.answer is not None and i.answer.node_count)
    full = [f"{i.instance} has {i.answer.node_count} nodes" for i in others if i.answer]
    return Fact(not full, "; ".join(full) or "none")


def one_main_is_followed(s: Situation) -> Fact:
    """Exactly one instance says MAIN, it is eligible and has replicas or is the only one with
    data, and all others are replicas."""
    mains = [i.instance for i in s.view.instances if s.view.answers_as(i.instance, Role.MAIN)]
    ok = mains == [s.subject] and s.subject in s.view.policy.eligible
    return Fact(ok, f"mains: {', '.join(mains) or 'none'}")


def identity_is_known(s: Situation) -> Fact:
    """The subject's storage UUID was read."""
    uuid = s.view.storage_uuid(s.subject) if s.subject else ""
    return Fact(bool(uuid), uuid or "not read")


def appointment_is_void(s: Situation) -> Fact:
    """The appointed main was never given to clients, and answers with another storage than the one
    that was proven empty: nothing acknowledged can have been in it (S10)."""
    main = s.cluster.main
    ok = s.cluster.is_fresh and main is not None and f.lost_its_copy(s.cluster, s.view, main)
    uuid = s.view.storage_uuid(main) if main else ""
    fresh = "never promoted" if s.cluster.is_fresh else "was promoted"
    return Fact(ok, f"{fresh}; carries {uuid or 'unknown'}, appointed was {s.cluster.storage_uuid}")
