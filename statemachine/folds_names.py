"""Folds of the names under which a main knows its replicas."""

from collections.abc import Callable
from typing import Any

from statemachine import events as e
from statemachine.cluster import Cluster, Registration
from statemachine.edits import change


def _registration_opened(c: Cluster, p: e.RegistrationOpened) -> Cluster:
    opened = Registration(p.name, p.instance, p.mode, p.address, p.pod, main_pod=p.main_pod)
    known = p.instance in dict(c.epoch_pods)
    return change(
        c,
        generation=c.generation + 1,
        registrations=(*c.registrations, opened),
        epoch_pods=c.epoch_pods if known else (*c.epoch_pods, (p.instance, p.pod)),
    )


def _registration_retired(c: Cluster, p: e.RegistrationRetired) -> Cluster:
    return change(c, registrations=tuple(r for r in c.registrations if r.name != p.name))


OF_NAMES: dict[type, Callable[[Cluster, Any], Cluster]] = {
    e.RegistrationOpened: _registration_opened,
    e.RegistrationRetired: _registration_retired,
}
