"""What this room needs to know to speak to any instance: user, ports, time limits."""

import ssl

from attrs import field, frozen


@frozen
class MemgraphAccess:
    """How to reach and authenticate to every instance. Durations in seconds.

    Args:
        probe_timeout_s: one probe as a whole, from the dial to the last answer.
        command_timeout_s: one statement that changes something; then its outcome is unknown.
        snapshot_timeout_s: CREATE SNAPSHOT alone, which takes time with the size of the data
            (58-99 ms at 100,000 nodes, MEMGRAPH L14); below the executor's own limit.
        connect_timeout_s: TCP connect, handshake and login together.
        tls: None: in the clear.
    """

    user: str = ""
    password: str = field(default="", repr=False)
    bolt_port: int = 7687
    replication_port: int = 10000
    probe_timeout_s: float = 1.0
    command_timeout_s: float = 10.0
    connect_timeout_s: float = 2.0
    snapshot_timeout_s: float = 40.0
    tls: ssl.SSLContext | None = field(default=None, repr=False)
