"""Shows. Status, health and metrics over HTTP, read-only.

Promise: whoever asks learns what is true in this pod, leader or not, with the age of each fact; and
nothing that is asked here changes anything. It reads one frozen Snapshot per request from a source
that the composition root hands in, so that a slow reader holds nobody up. Starlette and hypercorn
live in here and nowhere else.
"""

from controller.web.server import serve
from controller.web.snapshot import GatewayCounters, Snapshot, SnapshotSource
from controller.web.status import ledger_document, status_document

__all__ = [
    "GatewayCounters",
    "Snapshot",
    "SnapshotSource",
    "ledger_document",
    "serve",
    "status_document",
]
