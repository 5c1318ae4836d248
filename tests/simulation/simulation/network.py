"""Who reaches whom: a set of directed pairs that carry nothing.

What a newcomer gets wrong: a message and its answer go different ways. If only the way back is cut,
the question arrives and is carried out.
"""

from collections import Counter

API, CLIENT = "api", "client"


class Network:
    """Directed; cuts are counted, so that two that overlap are healed one by one."""

    def __init__(self) -> None:
        self._cut: Counter[tuple[str, str]] = Counter()

    def cut(self, pairs: tuple[tuple[str, str], ...]) -> None:
        """From now on nothing goes from the first to the second of each pair."""
        self._cut.update(pairs)

    def heal(self, pairs: tuple[tuple[str, str], ...]) -> None:
        """Undo one cut of each pair."""
        self._cut.subtract(pairs)
        self._cut += Counter()

    def heal_all(self) -> None:
        """Everybody reaches everybody."""
        self._cut.clear()

    @property
    def is_whole(self) -> bool:
        """Whether nothing is cut."""
        return not self._cut

    def carries(self, sender: str, receiver: str) -> bool:
        """Whether one message arrives."""
        return not self._cut or (sender, receiver) not in self._cut

    def joins(self, one: str, other: str) -> bool:
        """Whether a connection works: both ways."""
        return not self._cut or (self.carries(one, other) and self.carries(other, one))
