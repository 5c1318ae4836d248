"""`diverged`: what is refused now, and what lies set aside on the volumes."""

import json
import math

import pytest
from attrs import evolve
from cli_world import World

from controller.cli.diverged import Branch, keep_of, kept_of, reasons, set_aside_of, waiting_of
from controller.sandbox.apiserver import PODS
from statemachine.cluster import Cluster, Refused, SetAside
from statemachine.ids import Instance, Term

LISTED = "set-aside 9 11 1795000000\nset-aside 42 5368709120 1795100000\n"


def pod_saying(message: str) -> dict[str, object]:
    """A pod whose init container left this."""
    ended = {"terminated": {"exitCode": 0, "message": message}}
    status = {"initContainerStatuses": [{"name": "set-aside", "state": ended}]}
    return {"metadata": {"name": "memgraph-1"}, "status": status}


async def test_nothing_is_said_so(world: World) -> None:
    """Exit code 0, and a sentence instead of an empty table."""
    result = await world.cli("diverged")
    assert (result.exit_code, result.stdout) == (0, "no data are refused or set aside\n")


async def test_copies_are_listed_with_size_age_and_entry(world: World) -> None:
    """As the instance's own init container found them."""
    found = world.store.get(PODS, "prod", "memgraph-1")
    said = pod_saying(LISTED)["status"]
    body = {**found, "status": said}
    world.store.replace(PODS, "prod", "memgraph-1", body, subresource="status")
    result = await world.cli("diverged")
    assert result.exit_code == 0, result.output
    assert "5.0 GiB" in result.stdout
    assert "11 B" in result.stdout
    as_json = json.loads((await world.cli("diverged", "-o", "json")).stdout)
    assert [(b["instance"], b["seq"], b["bytes"]) for b in as_json] == [
        ("memgraph-1", 9, 11),
        ("memgraph-1", 42, 5368709120),
    ]


HELD = SetAside(Instance("memgraph-1"), 9, 1_795_000_000)


@pytest.mark.parametrize(
    ("copy", "keep_s", "says"),
    [
        (HELD, 86_400.0, "until 2026-11-19T11:06+00:00"),
        (HELD, math.inf, "until removed by hand"),
        (HELD, None, "as DIVERGED_KEEP says"),
        (evolve(HELD, verdict="unknown"), 86_400.0, "until `acknowledge`"),
        (evolve(HELD, is_released=True), 86_400.0, "until the next start"),
        (evolve(HELD, token=8), 86_400.0, "until removed by hand"),
    ],
    ids=["dated", "for ever", "no controller", "suspect", "released", "unknown to the ledger"],
)
def test_until_when_a_copy_is_kept(copy: SetAside, keep_s: float | None, says: str) -> None:
    """In words, as the leader would decide it now."""
    branch = Branch("memgraph-1", "set aside", 9, "diverged", 11, "2026-11-18T11:06:40+00:00")
    assert kept_of(Cluster(set_aside=(copy,)), branch, keep_s) == says


def test_how_long_copies_are_kept_is_the_controllers_own_word() -> None:
    """From the variables of their pods; what is not understood here is not guessed at."""
    assert keep_of([]) is None
    assert keep_of([pod_with_keep("a while")]) is None
    assert keep_of([pod_with_keep(""), pod_with_keep("7d")]) == 7 * 86_400.0


def pod_with_keep(value: str) -> dict[str, object]:
    """A controller's pod with this setting."""
    env = [{"name": "OTHER", "value": "1"}, {"name": "DIVERGED_KEEP", "value": value}]
    return {"metadata": {"name": "c"}, "spec": {"containers": [{"env": env}]}}


def test_an_instance_that_waits_is_told_with_the_mains_word() -> None:
    """Refused and not reset: a person has to decide."""
    refused = Refused(Instance("memgraph-1"), Term(3), "Error: 3")
    (branch,) = waiting_of([refused])
    assert (branch.state, branch.why, branch.bytes) == ("refused", "Error: 3", None)


def test_the_entry_that_ordered_it_says_why() -> None:
    """And where it is gone with an old archive, that is said."""
    newer, older = set_aside_of(pod_saying(LISTED), {9: "diverged"})
    assert newer.why == "diverged"
    assert "not there any more" in older.why


def test_other_last_words_are_no_copies() -> None:
    """A message of somebody else's init container is passed over."""
    for words in ("", "error: set-aside 1 2 3", "set-aside x y z", "set-aside 1 2"):
        assert list(set_aside_of(pod_saying(words), {})) == []
    assert reasons([]) == {}
