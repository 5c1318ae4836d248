"""`diverged`: what is refused now, and what lies set aside on the volumes."""

import json

from cli_world import World

from controller.cli.diverged import reasons, set_aside_of, waiting_of
from controller.sandbox.apiserver import PODS
from statemachine.cluster import Refused
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
