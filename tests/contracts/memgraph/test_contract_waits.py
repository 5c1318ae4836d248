"""What takes long: silence, time limits, and what can be asked meanwhile.

Promise: the stories run side by side, started with the first test of the session that needs them;
each test below waits for its own.
"""

import pytest
from fact_marks import seen, unseen
from waiting_stories import Stories

pytestmark = pytest.mark.process


@seen("L7")
@pytest.mark.parametrize("story", ["killed_idle"])
async def test_a_killed_replica_of_an_idle_main(stories: Stories, story: str) -> None:
    """Without writes, SHOW REPLICAS says `ready` for about three seconds more, then `invalid`."""
    await stories.wait(story)


@seen("L7")
@pytest.mark.parametrize("story", ["stopped_idle"])
async def test_a_stopped_replica_of_an_idle_main(stories: Stories, story: str) -> None:
    """One that hangs is `ready` for more than ten seconds, and `invalid` before twenty-five."""
    await stories.wait(story)


@seen("L7")
@pytest.mark.parametrize("story", ["restarted_idle"])
async def test_a_restarted_replica_of_an_idle_main(stories: Stories, story: str) -> None:
    """A replica that is killed and back within a second stays `ready` for an idle main."""
    await stories.wait(story)


@seen("L7")
@pytest.mark.parametrize("story", ["emptied_idle"])
async def test_an_emptied_replica_of_an_idle_main(stories: Stories, story: str) -> None:
    """A replica that comes back empty within a second stays `ready`, with its old timestamp."""
    await stories.wait(story)


@seen("L10", releases=("3.6.1", "3.12.0"))
@pytest.mark.parametrize("story", ["hanging_sync"])
async def test_a_hanging_sync_replica(stories: Stories, story: str) -> None:
    """The first write waits 30 s and fails, committed; reads wait with it, SHOW ROLE and SHOW
    REPLICAS answer, DROP and demotion are refused; later writes fail at once; after the thaw it is
    `ready`."""
    await stories.wait(story)


@seen("L10", releases=("3.6.1", "3.12.0"))
@pytest.mark.parametrize("story", ["hanging_strict_sync"])
async def test_a_hanging_strict_sync_replica(stories: Stories, story: str) -> None:
    """The first write waits 30 s and is aborted everywhere; reads wait with it, SHOW ROLE and SHOW
    REPLICAS answer; later writes are aborted at once; after the thaw the replica is `ready`."""
    await stories.wait(story)


@seen("L10")
@pytest.mark.parametrize("story", ["hanging_async"])
async def test_a_hanging_async_replica(stories: Stories, story: str) -> None:
    """Writes and reads go on; after the thaw the replica gets what it missed."""
    await stories.wait(story)


@seen("L9")
@pytest.mark.parametrize("story", ["silent_peer"])
async def test_registering_who_never_answers(stories: Stories, story: str) -> None:
    """A peer that accepts and says nothing freezes the main for 10 s: role, replicas, reads and
    writes wait; then Error 5 and the usual row."""
    await stories.wait(story)


@seen("L9")
@pytest.mark.parametrize("story", ["black_hole"])
async def test_registering_where_packets_vanish(stories: Stories, story: str) -> None:
    """A dial that is never answered ends after 5 s with Error 5."""
    await stories.wait(story)


@unseen("3.1")
@pytest.mark.parametrize("story", ["no_checks"])
async def test_without_checks_a_replica_never_recovers(stories: Stories, story: str) -> None:
    """With a check frequency of 0 a replica that came back stays `invalid`."""
    await stories.wait(story)
