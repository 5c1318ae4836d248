"""How often each edge of the table was taken, by the entries of a ledger."""

from collections.abc import Iterable

from attrs import frozen

from statemachine.codec import Entry


@frozen
class Edge:
    """One trigger from one phase to another, by their names in the ledger."""

    trigger: str
    source: str
    dest: str


@frozen
class Use:
    """How often, and when last (as the ledger writes it); `NEVER` when it was not."""

    count: int
    last_at: str

    @property
    def words(self) -> str:
        """For a label: no colon and no bar, which mean something in Mermaid."""
        if not self.count:
            return "(never)"
        last = self.last_at.partition(".")[0].replace(":", "")
        return f"({self.count}x, last {last})"


NEVER = Use(0, "")


def uses(entries: Iterable[Entry]) -> dict[Edge, Use]:
    """By edge; in the order of the ledger, so that the last time is the latest."""
    found: dict[Edge, Use] = {}
    for entry in entries:
        event = entry.event
        edge = Edge(event.trigger, event.source.value, event.dest.value)
        found[edge] = Use(found.get(edge, NEVER).count + 1, entry.at)
    return found
