"""Breadth-first search through all states, so that the first violation has the shortest story."""

import gc
import time
from array import array
from collections.abc import Callable
from itertools import pairwise

from attrs import define, field
from mc_judge import complaint
from mc_steps import World
from mc_world import Label, State

NO_PARENT = -1


@define(eq=False)
class Exploration:
    """All states found so far, in order of depth, and how each was reached first. Steps whose label
    `keeps` says yes to are remembered, from where to where."""

    world: World
    states: list[State] = field(factory=list)
    parents: "array[int]" = field(factory=lambda: array("l"))
    depths: "array[int]" = field(factory=lambda: array("h"))
    keeps: Callable[[Label], bool] = lambda label: False
    edges_from: "array[int]" = field(factory=lambda: array("l"))
    edges_to: "array[int]" = field(factory=lambda: array("l"))
    steps: int = 0
    took_s: float = 0.0
    is_exhausted: bool = False
    violation: str = ""
    last: Label = ()
    culprit: int = NO_PARENT
    story_: list[tuple[Label, State]] = field(factory=list)

    @property
    def depth(self) -> int:
        """Steps of the deepest state."""
        return self.depths[-1] if self.depths else 0

    def run(self, begin: State, *, states_max: int, seconds_max: float) -> None:
        """Explore until all is seen, a rule is broken, or a limit is reached."""
        began_s = time.monotonic()
        gc.disable()  # nothing in here is cyclic, and looking for it takes a third of the time
        try:
            self._search(begin, began_s, states_max, seconds_max)
        finally:
            gc.enable()
        self.took_s = time.monotonic() - began_s

    def _search(self, begin: State, began_s: float, states_max: int, seconds_max: float) -> None:
        number = {begin: 0}
        self._add(begin, NO_PARENT, 0)
        index = 0
        while index < len(self.states):
            if index % 512 == 0 and time.monotonic() - began_s > seconds_max:
                break
            if len(self.states) >= states_max or self._expand(index, number):
                break
            index += 1
        self.is_exhausted = index == len(self.states) and not self.violation

    def _add(self, state: State, parent: int, depth: int) -> None:
        self.states.append(state)
        self.parents.append(parent)
        self.depths.append(depth)

    def _expand(self, index: int, number: dict[State, int]) -> bool:
        """Whether a rule is broken by a step from this state."""
        depth = self.depths[index] + 1
        for step in self.world.steps(self.states[index]):
            self.steps += 1
            if step.complaint:
                return self._broken(step.complaint, step.label, index)
            known = number.get(step.state)
            if self.keeps(step.label):
                self.edges_from.append(index)
                self.edges_to.append(len(self.states) if known is None else known)
            if known is not None:
                continue
            number[step.state] = len(self.states)
            self._add(step.state, index, depth)
            if sentence := complaint(self.world.brain, step.state):
                return self._broken(sentence, step.label, index)
        return False

    def _broken(self, sentence: str, label: Label, index: int) -> bool:
        self.violation, self.last, self.culprit = sentence, label, index
        return True

    def path(self, index: int) -> list[tuple[Label, State]]:
        """The steps from the beginning to this state, with the state after each."""
        chain = [index]
        while self.parents[chain[-1]] != NO_PARENT:
            chain.append(self.parents[chain[-1]])
        chain.reverse()
        found = []
        for before, after in pairwise(chain):
            wanted = self.states[after]
            steps = self.world.steps(self.states[before])
            label = next(step.label for step in steps if step.state == wanted)
            found.append((label, wanted))
        return found

    def remember(self) -> None:
        """Work the trace out now, while the verbs are what they were during the search."""
        self.story_ = self.trace() if self.violation else []

    def trace(self) -> list[tuple[Label, State]]:
        """The shortest way to the violation, its last step included."""
        if self.story_:
            return self.story_
        found = self.path(self.culprit)
        before = self.states[self.culprit]
        final = next(s for s in self.world.steps(before) if s.label == self.last)
        return [*found, (self.last, final.state)]
