"""What the verifier is to be asked, and what it has been asked and not answered yet.

About each upstream one question at a time: a storm of clients makes large batches of sessions that
wait for one answer, not many questions. A question that was lost is asked again.
"""

from collections.abc import Callable

from gateway.route import Upstream, UpstreamKey


class Questions:
    """Owned by the desk. `ask_one` must not block; it may lead to an answer at once.

    Attributes:
      wanted: upstreams that somebody wants to know about, by key.
    """

    def __init__(self, ask_one: Callable[[Upstream], None]) -> None:
        self._ask_one = ask_one
        self.wanted: dict[UpstreamKey, Upstream] = {}
        self._asked: set[UpstreamKey] = set()

    def add(self, key: UpstreamKey, upstream: Upstream) -> None:
        """Somebody wants to know about it."""
        self.wanted[key] = upstream

    def ask(self) -> None:
        """Ask what may be asked now."""
        if not self.wanted or self.wanted.keys() <= self._asked:
            return
        for key in self.wanted.keys() - self._asked:
            self._asked.add(key)
            self._ask_one(self.wanted.pop(key))

    def answered(self, key: UpstreamKey) -> None:
        """The next question about it may be asked."""
        self._asked.discard(key)

    def forget(self) -> None:
        """Answers that have not come by now are lost."""
        self._asked.clear()
