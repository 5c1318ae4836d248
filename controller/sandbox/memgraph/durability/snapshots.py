"""Storage snapshots: the whole committed graph with epoch, history and durable timestamp.

Promise: a snapshot file is complete or not there (written aside, flushed, renamed). The same bytes
serve the disk and a replica that is too far behind for the log.
"""

import json
import os
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

import attrs

from controller.sandbox.memgraph.graph.records import Node, Relationship
from controller.sandbox.memgraph.graph.store import GraphStore

PAGE_RECORDS = 1000  # to a line; a step of loading
_END = b'"end"'

History = tuple[tuple[str, int], ...]


@attrs.frozen
class SnapshotHead:
    """What a snapshot says besides the graph."""

    ldt: int
    epoch: str
    history: History


def snapshot_bytes(head: SnapshotHead, graph: GraphStore) -> bytes:
    """The committed graph as lines of JSON: head, pages of nodes, pages of relationships, end."""
    first = {
        "ldt": head.ldt,
        "epoch": head.epoch,
        "history": head.history,
        "next": [graph.next_node_id, graph.next_relationship_id],
        "indexes": list(graph.indexes),
        "constraints": list(graph.constraints),
        "existence": list(graph.existence),
    }
    nodes = ([n.id, sorted(n.labels), n.properties] for n in graph.nodes.values())
    relationships = (
        [r.id, r.type, r.start, r.end, r.properties] for r in graph.relationships.values()
    )
    lines = [_line(first)]
    lines += (_line(["n", page]) for page in _pages(nodes))
    lines += (_line(["r", page]) for page in _pages(relationships))
    lines.append(_END)
    return b"\n".join(lines)


def _pages(records: Iterable[Any]) -> Iterator[list[Any]]:
    """Lists of many records: one call of the decoder shares the names of properties in each."""
    rest = iter(records)
    while page := list(islice(rest, PAGE_RECORDS)):
        yield page


def _line(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def load_snapshot(data: bytes, graph: GraphStore) -> SnapshotHead:
    """Fill an empty `graph` from `snapshot_bytes`.

    Raises:
        ValueError: truncated or foreign bytes; the graph is then unusable.
    """
    steps = load_in_steps(data, graph)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            head: SnapshotHead = done.value
            return head


def load_in_steps(data: bytes, graph: GraphStore) -> Generator[None, None, SnapshotHead]:
    """The same, in steps of a few milliseconds, so that somebody else may do something between."""
    if not data.endswith(b"\n" + _END):
        raise ValueError("the snapshot has no end")
    lines = BytesIO(data)
    head = json.loads(lines.readline())
    known: dict[tuple[str, ...], frozenset[str]] = {}
    for line in lines:
        if line == _END:
            break
        kind, page = json.loads(line)
        if kind == "n":
            for node_id, labels, properties in page:
                name = tuple(labels)
                shared = known.get(name) or known.setdefault(name, frozenset(name))
                graph.put_node(node_id, Node(node_id, shared, properties))
        else:
            for fields in page:
                graph.put_relationship(fields[0], Relationship(*fields))
        yield
    graph.next_node_id, graph.next_relationship_id = head["next"]
    tables = {"indexes": graph.indexes, "constraints": graph.constraints}
    for what, table in {**tables, "existence": graph.existence}.items():
        table.update({(label, tuple(keys)): None for label, keys in head.get(what, ())})
    history = tuple((epoch, ldt) for epoch, ldt in head["history"])
    return SnapshotHead(head["ldt"], head["epoch"], history)


class SnapshotDirectory:
    """The snapshot files of one data directory, newest last."""

    def __init__(self, directory: Path, retention: int) -> None:
        self._directory = directory
        self._retention = max(1, retention)
        directory.mkdir(parents=True, exist_ok=True)

    def paths(self) -> Sequence[Path]:
        return sorted(self._directory.glob("*_timestamp_*"))

    def write(self, data: bytes, ldt: int) -> Path:
        """Store a snapshot and drop the oldest beyond the retention."""
        stamp = time.strftime("%Y%m%d%H%M%S", time.gmtime())
        name = f"{stamp}{time.time_ns() % 1_000_000_000 // 1000:06d}_timestamp_{ldt}"
        path = self._directory / name
        write_atomically(path, (data,))
        for old in self.paths()[: -self._retention]:
            old.unlink()
        return path

    def clear(self) -> None:
        for path in self.paths():
            path.unlink()


def write_atomically(path: Path, parts: Iterable[bytes]) -> None:
    """`path` holds all of `parts` on the disk afterwards, or is as it was."""
    aside = path.with_name(f".{path.name}.new")
    with aside.open("wb") as file:
        for part in parts:
            file.write(part)
        file.flush()
        os.fsync(file.fileno())
    aside.rename(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
