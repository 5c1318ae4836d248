"""One committed transaction, as it stands in the log and on the wire."""

import json
from collections.abc import Sequence

import attrs

from controller.sandbox.memgraph.graph.records import Change


@attrs.frozen
class Commit:
    """`ts` is the durable timestamp it brings, `previous_ts` the one it must be applied over."""

    ts: int
    previous_ts: int
    epoch: str
    changes: Sequence[Change]

    def encode(self) -> bytes:
        """Compact JSON; the same bytes go to the log and to the replicas."""
        parts = [self.ts, self.previous_ts, self.epoch, self.changes]
        return json.dumps(parts, separators=(",", ":")).encode()


def decode_commit(payload: bytes) -> Commit:
    """The commit of `encode`'s bytes.

    Raises:
        ValueError: not such bytes.
    """
    try:
        ts, previous_ts, epoch, changes = json.loads(payload)
    except (TypeError, json.JSONDecodeError) as problem:
        raise ValueError("no commit record") from problem
    return Commit(ts, previous_ts, epoch, changes)
