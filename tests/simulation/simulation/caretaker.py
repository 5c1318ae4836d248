"""A person who does what the pods ask a person for, once nothing else is wrong any more.

Promise: acts on what everybody can read (status of the pods, the ledger's object) and does what the
runbooks say, no more. What a newcomer gets wrong: whoever is asked for something that no rule of
the product may do must be able to do it, or else asking was idle.
"""

from .api import SERVER_SIDE
from .cluster import Cluster
from .people import People

PUT_BACK = ("is not there as it was written", "the ledger is gone", "a gateway has seen event")
"""What pods say that cannot go on from the stored ledger, and remember no newer one (S16)."""
FOREIGN = ("registration_opened", "not empty")  # (trigger, what the refusal ends with) (S10)


class Caretaker:
    """Owned by the director, which calls `look` while it waits."""

    def __init__(self, cluster: Cluster, people: People) -> None:
        self._cluster, self._people = cluster, people
        self._set_aside: set[str] = set()  # storages whose setting aside was asked for

    def look(self) -> None:
        """Do what is asked for now."""
        self._put_back_the_ledger()
        self._have_foreign_data_set_aside()

    def _put_back_the_ledger(self) -> None:
        """From a backup: a hand has changed or deleted it while nobody remembered it (S16)."""
        loops = [life.pod.loop for life in self._cluster.living() if life.pod is not None]
        said = [text for loop in loops for text in (loop.chronicle.trouble, loop.trouble)]
        if not any(what in text for what in PUT_BACK for text in said):
            return
        path, kept = self._cluster.ledger_path(), self._cluster.backup
        if kept is not None and self._cluster.api.objects.get(path, {}).get("data") != kept["data"]:
            meta = {k: v for k, v in kept["metadata"].items() if k not in SERVER_SIDE}
            self._cluster.api.put(path, {**kept, "metadata": meta})

    def _have_foreign_data_set_aside(self) -> None:
        """Data of nobody knows where on a member: written around the gateways after it had lost its
        disk. The product touches no such data by itself; a person knows whether they matter."""
        for name in self._refused_for(*FOREIGN):
            uuid = self._cluster.instance(name).disk.storage_uuid
            if uuid not in self._set_aside:
                self._set_aside.add(uuid)
                self._people.reinit(name)

    def _refused_for(self, trigger: str, ending: str) -> set[str]:
        """Whom such a refusal is about, by the status of whoever decides."""
        pods = [life.pod for life in self._cluster.living() if life.pod is not None]
        return {
            refusal.candidate
            for pod in pods
            for refusal in pod.loop.refusals
            if refusal.trigger == trigger and refusal.reason.endswith(ending)
        }
