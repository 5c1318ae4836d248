"""A program that is as hard on its starter as a real Memgraph binary; the database in it is our
stand-in.

Promise: a flag that Memgraph does not have ends it with 1; the replication port and the port of the
log's web socket are bound on every address.
"""

import os
import socket
import sys

MONITORING_PORT = 7444
KNOWN = frozenset(
    {
        *("bolt-address", "bolt-port", "data-directory", "log-file", "log-level", "init-file"),
        *("storage-wal-enabled", "storage-wal-file-flush-every-n-tx"),
        *("storage-snapshot-interval-sec", "storage-snapshot-on-exit", "telemetry-enabled"),
        *("data-recovery-on-startup", "replication-restore-state-on-startup"),
    }
)


def main() -> None:
    """Check the flags, bind what must be free, and become the stand-in."""
    for word in sys.argv[1:]:
        name = word.lstrip("-").partition("=")[0]
        if word.startswith("-") and name not in KNOWN:
            sys.exit(f"ERROR: unknown command line flag '{name}'")
    listener = socket.create_server(("0.0.0.0", MONITORING_PORT))
    os.set_inheritable(listener.fileno(), True)
    words = [sys.executable, "-m", "controller.sandbox.memgraph", *sys.argv[1:]]
    os.execv(sys.executable, [*words, "--bolt-address=0.0.0.0"])


if __name__ == "__main__":
    main()
