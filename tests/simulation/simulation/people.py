"""What people ask for, also at the worst moment: entries in the ConfigMap of requests.

Promise: written like the command line writes them, straight into the API server. What a newcomer
gets wrong: nobody here looks at the answer; that no rule is broken by asking is what is tested.
"""

import itertools

import trio

from controller.kube.transport import Json
from controller.requests import line_of
from statemachine.ids import Instance
from statemachine.observations import Request

from .api import Api
from .dice import EPOCH

GOOD_FOR_S = 3 * 86_400.0  # clocks of pods jump by half a day
PAUSE_S = 20.0  # and then it is over, if nobody resumes


class People:
    """Owned by the injector."""

    def __init__(self, api: Api, path: str, cluster_name: str) -> None:
        self._api, self._path, self._cluster_name = api, path, cluster_name
        self._numbers = itertools.count(1)

    def switchover(self, instance: str) -> None:
        """To this one; "" = to whoever can."""
        self._ask("switchover", instance=instance)

    def failover(self, instance: str) -> None:
        """Whatever it costs."""
        self._ask("failover", instance=instance, confirm=self._cluster_name)

    def reinit(self, instance: str) -> None:
        """Its data set aside, and rebuilt from the main."""
        self._ask("reinit", instance=instance)

    def pause(self) -> None:
        """No decisions."""
        self._ask("pause", for_s=PAUSE_S)

    def resume(self) -> None:
        """Decisions again."""
        self._ask("resume")

    def observe(self, value: str) -> None:
        """Recorded only: on | off."""
        self._ask("observe", value=value)

    def durability(self, value: str) -> None:
        """preferred | required."""
        self._ask("durability", value=value)

    def _ask(
        self, kind: str, instance: str = "", value: str = "", confirm: str = "", for_s: float = 0.0
    ) -> None:
        request = Request(
            f"r{next(self._numbers):05d}",
            kind,
            author="somebody",
            instance=Instance(instance),
            value=value,
            confirm=confirm,
            for_s=for_s,
            expires_s=EPOCH.timestamp() + trio.current_time() + GOOD_FOR_S,
        )
        stored: Json = self._api.objects.get(self._path) or {
            "metadata": {"name": self._path.rpartition("/")[2]}
        }
        entries = {**(stored.get("data") or {}), request.id: line_of(request)}
        self._api.put(self._path, {**stored, "data": entries})
