"""Long lists come from an API server in pages, and a page may come too late."""

from functools import partial

import pytest
import trio
from cli_world import World, add_pod

from controller.cli.exits import NOT_FOUND, Problem
from controller.cli.reading import LIST_ATTEMPTS_MAX, PAGE, Release, Target, find_release
from controller.sandbox.apiserver import PODS, Store

MORE = 2 * int(PAGE) + 3


@pytest.fixture
async def release(world: World) -> Release:
    """A release with so many pods that its list has three pages."""
    for number in range(MORE):
        add_pod(world.store, f"memgraph-{100 + number}", "database", "127.0.1.9")
    target = Target(kubeconfig=str(world.kubeconfig))
    return await trio.to_thread.run_sync(partial(find_release, target))


def forgetting(store: Store, monkeypatch: pytest.MonkeyPatch, times: int) -> list[str]:
    """The server forgets begun lists before the last page of each, so often; what it was asked."""
    asked: list[str] = []
    page, left = store.pages.page, [times]

    def late(request, items, revision):  # type: ignore[no-untyped-def]
        asked.append(request.query.get("continue", ""))
        if len(asked) > 1 and asked[-2] and asked[-1] and left[0]:
            left[0] -= 1
            store.pages.forget()
        return page(request, items, revision)

    monkeypatch.setattr(store.pages, "page", late)
    return asked


async def names(release: Release) -> list[str]:
    """Of all pods, as a command reads them."""
    pods = await trio.to_thread.run_sync(release.pods)
    return [str(pod["metadata"]["name"]) for pod in pods]


async def test_every_object_of_a_long_list_is_read_once(
    release: Release, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All pages, in order, nothing twice; selectors hold on each of them."""
    asked = forgetting(world.store, monkeypatch, times=0)
    add_other(world.store)
    found = await names(release)
    assert len(found) == len(set(found)) == MORE + 4
    assert "somebody-elses" not in found
    assert [bool(token) for token in asked] == [False, True, True]


def add_other(store: Store) -> None:
    """A pod of nobody's release."""
    spec = {"containers": [{"name": "x", "image": "x"}]}
    store.create(PODS, "prod", {"metadata": {"name": "somebody-elses"}, "spec": spec})


async def test_a_page_that_comes_too_late_begins_the_list_anew(
    release: Release, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server compacts every five minutes: 410 is no end, and nothing is read twice."""
    forgetting(world.store, monkeypatch, times=LIST_ATTEMPTS_MAX - 1)
    found = await names(release)
    assert len(found) == len(set(found)) == MORE + 4


async def test_a_list_that_is_never_read_to_its_end_is_a_problem(
    release: Release, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some attempts the server's own words are told."""
    forgetting(world.store, monkeypatch, times=99)
    with pytest.raises(Problem, match="too old") as caught:
        await names(release)
    assert caught.value.exit_code == NOT_FOUND
