"""One suite, two kinds of server: every test that takes `world` runs on both.

The real ones need MEMGRAPH_BINARY and are deselected without it, not skipped: there is nothing
that this machine lacks by mistake.
"""

import os
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from contract_world import World
from deviations import KNOWN_DEVIATIONS
from fact_marks import LATEST, fact_of
from server_kinds import Kind, StandIn, fork_server, real_kind
from waiting_stories import Stories

BINARY = os.environ.get("MEMGRAPH_BINARY", "")
REAL = "real"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A stand-in for each release that the fact names, and the real one."""
    if not {"kind", "stories"} & set(metafunc.fixturenames):
        return
    fact = fact_of(metafunc.function)
    releases = fact.releases if fact is not None else (LATEST,)
    kinds = [pytest.param(r, id=f"stand-in-{r}") for r in releases]
    kinds.append(pytest.param(REAL, id=REAL, marks=pytest.mark.real_memgraph))
    metafunc.parametrize("kind", kinds, indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without a real binary, its tests are not part of the run."""
    if BINARY:
        return
    away = [item for item in items if item.get_closest_marker("real_memgraph")]
    if away:
        items[:] = [item for item in items if item not in away]
        config.hook.pytest_deselected(items=away)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """A known deviation of the stand-in must show; the day it is gone it must leave the table."""
    name = getattr(item, "originalname", item.name)
    if name not in KNOWN_DEVIATIONS or item.get_closest_marker("real_memgraph"):
        return (yield)
    try:
        yield
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        return None
    pytest.fail(f"the stand-in does so by now: remove {name} from KNOWN_DEVIATIONS")


@pytest.fixture(scope="session")
def forking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """Where stand-ins come from."""
    with fork_server(tmp_path_factory.mktemp("fork")) as server:
        yield server


@pytest.fixture(scope="session", autouse=True)
def long_stories(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Stories]]:
    """The long stories that this session's tests need, by kind; started before its first test."""
    wanted: dict[str, list[str]] = {}
    for item in request.session.items:
        if isinstance(item, pytest.Function) and "stories" in item.fixturenames:
            kind, story = (str(item.callspec.params[name]) for name in ("kind", "story"))
            wanted.setdefault(kind, []).append(story)
    with ExitStack() as stack:
        running = {}
        for param, names in wanted.items():
            directory = tmp_path_factory.mktemp(f"stories-{param}")
            forks = stack.enter_context(fork_server(directory)) if param != REAL else None
            server = StandIn(param, *forks) if forks else real_kind(BINARY)
            running[param] = Stories(server, directory, names)
            stack.callback(running[param].end)
        yield running


@pytest.fixture
def stories(
    request: pytest.FixtureRequest, kind: Kind, long_stories: dict[str, Stories]
) -> Stories:
    """The stories of this test's kind of server."""
    return long_stories[request.node.callspec.params["kind"]]


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> Kind:
    """The kind of server of this test."""
    if request.param == REAL:
        return real_kind(BINARY)
    server, exits = request.getfixturevalue("forking")
    return StandIn(request.param, server, exits)


@pytest.fixture
async def world(kind: Kind, tmp_path: Path) -> AsyncIterator[World]:
    """The servers of one test, ended with it."""
    it = World(kind, tmp_path)
    try:
        yield it
    finally:
        await it.end()
