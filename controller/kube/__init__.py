"""The Kubernetes room: the ports of `controller.ports` on a real API server, and nothing else.

Promise: what leaves this room is a value of the walls or an error of `controller.errors`; no
type, exception or timeout of the Kubernetes client does. Every request has an own time limit; a
write whose answer was lost says so and is never repeated in here. What a newcomer gets wrong:
`kubernetes` and `trio_asyncio` are imported inside `open_client` alone, so that importing this
room is cheap; the composition root opens the asyncio loop (`trio_asyncio.open_loop`), and
everything here runs in it.

Belongs here: transport, informers, ledger store, gateway Leases, leader Lease, pods, reset tokens,
requests of people. Does not: any decision. Outside of this room, import from here.
"""

from .client import ClientConfig, open_client
from .counted import CountedTransport
from .events import KubeEvents
from .gateway_leases import KubeGatewayLeases
from .leadership import LeaseLeadership
from .ledger_archives import KubeLedgerArchives
from .ledger_store import KubeLedgerStore
from .names import KIND_LABEL, RELEASE_LABEL, KubeNames, KubeTimes
from .parsing import gateway_facts_of, pod_facts_of, stored_ledger_of
from .pictures import KubeInformers
from .pod_control import KubePodControl
from .requests import KubeRequests
from .transport import AnswerLost, Transport, Watch

__all__ = [
    "KIND_LABEL",
    "RELEASE_LABEL",
    "AnswerLost",
    "ClientConfig",
    "CountedTransport",
    "KubeEvents",
    "KubeGatewayLeases",
    "KubeInformers",
    "KubeLedgerArchives",
    "KubeLedgerStore",
    "KubeNames",
    "KubePodControl",
    "KubeRequests",
    "KubeTimes",
    "LeaseLeadership",
    "Transport",
    "Watch",
    "gateway_facts_of",
    "open_client",
    "pod_facts_of",
    "stored_ledger_of",
]
