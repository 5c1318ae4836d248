"""Whether the NetworkPolicy that shields the instances is enforced: tried, not believed.

A NetworkPolicy is only a wish: where the network plugin does not enforce them, anybody may write
past the gateways, and none of our promises hold. This pod may reach two ports of an instance; here
it dials a third, on which Memgraph listens by default (its log stream) and which the policy allows
to nobody.

Promise: connects and closes, sends nothing. Only what was seen is said: a connection proves that
nothing is enforced; silence of a port beside one that answers is enforcement. A refusal proves
nothing, for perhaps nobody listens there, or the plugin refuses. What a newcomer gets wrong: the
answer is of the path from this pod alone.
"""

from collections.abc import Callable, Iterable

import trio

from statemachine.view import View

INTERVAL_S = 60.0
DIAL_S = 2.0  # a connection within a cluster takes milliseconds
ENFORCED, NOT_ENFORCED, UNKNOWN = "enforced", "not_enforced", "unknown"


class PolicyCheck:
    """One task of the pod. `state` is the last finding."""

    def __init__(self, port: int, view: Callable[[], View]) -> None:
        self._port, self._view = port, view
        self.state = UNKNOWN

    async def run(self) -> None:
        """Tries again and again until cancelled."""
        while True:
            found = [await dial(host, self._port) for host in self._hosts()]
            self.state = verdict(found)
            await trio.sleep(INTERVAL_S if found else DIAL_S)

    def _hosts(self) -> tuple[str, ...]:
        """Addresses of instances that answer this pod on the port that it may reach."""
        view = self._view()
        pods = (i.pod for i in view.instances if view.is_answering(i.instance))
        return tuple(pod.ip for pod in pods if pod is not None and pod.ip)


async def dial(host: str, port: int) -> str:
    """What one try shows."""
    with trio.move_on_after(DIAL_S):
        try:
            stream = await trio.open_tcp_stream(host, port)
        except OSError:
            return UNKNOWN
        await stream.aclose()
        return NOT_ENFORCED
    return ENFORCED


def verdict(found: Iterable[str]) -> str:
    """One way past it is enough; without one, silence decides."""
    states = set(found)
    return next((s for s in (NOT_ENFORCED, ENFORCED) if s in states), UNKNOWN)
