"""Which mains are served at one moment is told from two rounds of answers, never from one."""

from controller.sandbox.demo.served import mains_at_once

M0, M1, NOBODY = frozenset({"memgraph-0"}), frozenset({"memgraph-1"}), frozenset[str]()


def test_two_pods_that_stay_with_two_mains_are_noticed() -> None:
    """Both said so before and after the other had answered."""
    twice = {"c0": M0, "c1": M1}
    assert mains_at_once(twice, twice) == M0 | M1


def test_a_main_that_is_handed_over_between_two_answers_is_one() -> None:
    """The first pod answered before the change, the second after it."""
    assert mains_at_once({"c0": M0, "c1": M0}, {"c0": M0, "c1": M1}) == M0


def test_one_pod_with_sessions_to_two_mains_is_noticed() -> None:
    """A gateway that cut nothing."""
    assert mains_at_once({"c0": M0 | M1}, {"c0": M0 | M1}) == M0 | M1


def test_the_first_round_and_a_silent_pod_prove_nothing() -> None:
    """Nothing was said twice."""
    assert mains_at_once({}, {"c0": M0}) == NOBODY
    assert mains_at_once({"c0": M0, "c1": M1}, {"c0": M0, "c1": NOBODY}) == M0
