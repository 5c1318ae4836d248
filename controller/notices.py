"""Kubernetes Events: what an operator should see at the objects that he describes.

Promise: an entry of the ledger is announced by the pod that wrote it, so by the leader; the last
few of a leader that died by the next one too, under the same name. Whatever becomes of an
announcement, nothing waits for it. What a newcomer gets wrong: a Kubernetes Event is a courtesy
that the API server forgets after an hour; the ledger is the record. Yet each one carries position
and hash of its entry: where Events are kept outside of the cluster, that shows later whether the
ledger was rewritten.
"""

from collections.abc import Mapping

from attrs import frozen

from controller.entries import NewEntry
from statemachine import events as e
from statemachine.ids import Instance

ID_LENGTH = 16  # of an entry's hash, in the name of its Event
TEXT_MAX = 1000  # the API server takes 1024

NORMAL, WARNING = "Normal", "Warning"
SHOWN: Mapping[type, tuple[str, str]] = {
    e.LeaderElected: (NORMAL, "LeaderElected"),
    e.MainAppointed: (NORMAL, "MainAppointed"),
    e.ClusterAdopted: (NORMAL, "ClusterAdopted"),
    e.BootstrapRefused: (WARNING, "BootstrapRefused"),
    e.MainLost: (WARNING, "MainLost"),
    e.FailoverForced: (WARNING, "FailoverForced"),
    e.SwitchoverStarted: (NORMAL, "SwitchoverStarted"),
    e.RenewalStarted: (NORMAL, "RenewalStarted"),
    e.MainFenced: (NORMAL, "MainFenced"),
    e.DrainAbandoned: (WARNING, "DrainAbandoned"),
    e.CandidateLost: (WARNING, "CandidateLost"),
    e.MainPromoted: (NORMAL, "MainPromoted"),
    e.MainReturned: (NORMAL, "MainReturned"),
    e.SyncJoined: (NORMAL, "SyncJoined"),
    e.SyncLost: (WARNING, "SyncLost"),
    e.InstanceRefused: (WARNING, "InstanceRefused"),
    e.ResetOrdered: (WARNING, "ResetOrdered"),
    e.ResetCancelled: (NORMAL, "ResetCancelled"),
    e.ResetDone: (NORMAL, "ResetDone"),
    e.CopyReleased: (NORMAL, "CopyReleased"),
    e.PolicyChanged: (NORMAL, "PolicyChanged"),
    e.ObservingChanged: (WARNING, "ObservingChanged"),
    e.Paused: (WARNING, "Paused"),
    e.Resumed: (NORMAL, "Resumed"),
    e.CooldownLifted: (NORMAL, "CooldownLifted"),
    e.RequestRefused: (WARNING, "RequestRefused"),
    e.DecisionRefused: (WARNING, "DecisionRefused"),
    e.WouldHave: (NORMAL, "WouldHave"),
}
"""Triggers that an operator should see. What is not in here is routine."""


@frozen
class Notice:
    """One thing to announce at the ledger's ConfigMap, and at the pods of these instances."""

    reason: str
    text: str
    weight: str = NORMAL
    instances: frozenset[Instance] = frozenset()
    id: str = ""  # of the entry, the same for whoever announces it; "": nobody else does


def notice_of(new: NewEntry) -> Notice | None:
    """The announcement of an entry; None for routine."""
    entry, payload = new.entry, new.entry.event.payload
    shown = SHOWN.get(type(payload))
    if shown is None:
        return None
    weight, reason = shown
    lost = getattr(payload, "verdict", "") if isinstance(payload, e.MainPromoted) else ""
    if lost not in ("", "none"):
        weight = WARNING
    said = f"; may have lost: {lost}" if lost else ""
    place = f" [entry {entry.seq}, term {entry.term}, head {new.head}]"
    text = f"{entry.event.why}{said}"[: TEXT_MAX - len(place)] + place
    about = instances_of(payload, entry.main)
    return Notice(reason, text, weight, about, new.head[:ID_LENGTH])


def instances_of(payload: e.Payload, main: Instance | None) -> frozenset[Instance]:
    """Whose pods it is about."""
    named = {getattr(payload, field, None) for field in ("instance", "candidate", "main")}
    if isinstance(payload, e.MainLost | e.MainFenced):
        named.add(main)
    return frozenset(Instance(name) for name in named if name)


def trouble_notice(trouble: str) -> Notice:
    """The stored ledger is not what this pod has verified, or is again."""
    if trouble:
        return Notice("LedgerTrouble", trouble[:TEXT_MAX], WARNING)
    return Notice("LedgerVerified", "the stored ledger is verified")
