"""The informer in virtual time: the picture is right again after whatever the API server does."""

import random
from itertools import pairwise
from typing import Any

import pytest
import trio
from attrs import define, field
from fake_api import FakeApi, Trouble
from kube_rooms import MAPS, TIMES, config_map
from trio.testing import MockClock

from controller.kube.informer import Informer, Source
from controller.kube.parsing import name_of, texts

SOURCE = Source("maps", MAPS, (("labelSelector", ""),))
LIST, WATCH = "list configmaps", "watch configmaps"
HALF = 0.5  # the jitter: back-off times 1.0, relist every 45 s


@define(eq=False)
class Viewer:
    """Remembers every picture that it was shown, and every trouble."""

    pictures: list[dict[str, Any]] = field(factory=list)
    troubles: list[str] = field(factory=list)

    async def show(self, picture: dict[str, Any]) -> None:
        """The handler."""
        self.pictures.append(picture)

    def last(self) -> dict[str, Any]:
        """What is believed now."""
        return self.pictures[-1]


def data(objects: list[dict[str, Any]]) -> dict[str, Any]:
    """A picture of ConfigMaps."""
    return {name_of(obj): texts(obj.get("data")).get("v", "") for obj in objects}


@pytest.fixture
def api(nursery: trio.Nursery) -> FakeApi:
    made = FakeApi(nursery)
    made.put(MAPS, config_map("x", v="1"))
    return made


def start(api: FakeApi, nursery: trio.Nursery) -> Viewer:
    """An informer in the background."""
    viewer = Viewer()
    transport = api.client()
    informer = Informer(
        transport, SOURCE, TIMES, data, viewer.show, viewer.troubles.append, lambda: HALF
    )
    nursery.start_soon(informer.run)
    return viewer


def gaps(at_s: list[float]) -> list[float]:
    """Times between calls, to a tenth of a second."""
    return [round(after - before, 1) for before, after in pairwise(at_s)]


async def test_list_then_every_change(
    api: FakeApi, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """The whole picture is shown at first, and after each creation, change and deletion."""
    viewer = start(api, nursery)
    await trio.sleep(1)
    api.put(MAPS, config_map("y", v="1"))
    await trio.sleep(1)
    api.put(MAPS, config_map("x", v="2"))
    await trio.sleep(1)
    api.remove(f"{MAPS}/y")
    await trio.sleep(1)
    assert viewer.pictures == [{"x": "1"}, {"x": "1", "y": "1"}, {"x": "2", "y": "1"}, {"x": "2"}]
    assert len(api.asked(LIST)) == 1


async def test_an_empty_picture_is_shown_too(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """Nothing there is a fact as well; whoever waits for the first picture gets it."""
    viewer = start(FakeApi(nursery), nursery)
    await trio.sleep(1)
    assert viewer.pictures == [{}]


async def test_relist_that_finds_nothing_is_silent(
    api: FakeApi, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """It lists at least once a minute, and shows nothing if nothing differs."""
    viewer = start(api, nursery)
    await trio.sleep(600)
    assert len(viewer.pictures) == 1
    assert viewer.troubles == []
    assert set(gaps(api.asked(LIST))) == {45.0}


async def test_blind_watch_is_cured_by_the_relist(
    api: FakeApi, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """A watch from a future revision, or half-open, tells nothing for ever; the relist does."""
    viewer = start(api, nursery)
    await trio.sleep(1)
    api.open_watches[0].is_blind = True
    api.put(MAPS, config_map("x", v="2"))
    await trio.sleep(43)
    assert viewer.last() == {"x": "1"}
    await trio.sleep(2)
    assert viewer.last() == {"x": "2"}


async def test_expired_watch_lists_again_at_once_the_first_time(
    api: FakeApi, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """410 is routine: no pause, no trouble, no picture if nothing differs. Only a 410 that comes
    again and again is slowed down."""
    viewer = start(api, nursery)
    await trio.sleep(30)
    waited = []
    for _ in range(5):
        expired_s = trio.current_time()
        api.compact()
        await trio.sleep(4)
        waited.append(round(api.asked(LIST)[-1] - expired_s, 1))
    assert waited == [0.0, 0.4, 0.8, 1.6, 3.2]
    assert viewer.troubles == []
    assert len(viewer.pictures) == 1


async def test_deletion_and_recreation_during_a_gap_are_found(
    api: FakeApi, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """What happened while nobody watched is found by the list, whatever the watch has missed."""
    api.put(MAPS, config_map("y", v="1"))
    viewer = start(api, nursery)
    await trio.sleep(1)
    api.remove(f"{MAPS}/x", silently=True)
    api.remove(f"{MAPS}/y", silently=True)
    api.put(MAPS, config_map("y", v="new"))
    api.compact()
    await trio.sleep(1)
    assert viewer.last() == {"y": "new"}


async def test_late_deletion_of_an_earlier_incarnation_is_ignored(
    api: FakeApi, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """A DELETED with another UID than the one that is known deletes nothing."""
    viewer = start(api, nursery)
    await trio.sleep(1)
    alien = config_map("x", v="old")
    alien["metadata"] |= {"uid": "another", "resourceVersion": "77"}
    api.version += 1
    api.note("DELETED", MAPS, alien)
    api.put(MAPS, config_map("z", v="1"))
    await trio.sleep(1)
    assert viewer.last() == {"x": "1", "z": "1"}


async def test_outage_backs_off_and_health_resets_it(
    api: FakeApi, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """0.2 s doubling to 30 s while it is down, told once; health makes it begin anew."""
    viewer = start(api, nursery)
    await trio.sleep(1)
    api.fault = lambda *_: Trouble.REFUSED
    api.cut()
    await trio.sleep(200)
    waits = gaps(api.asked(LIST))[1:]
    assert waits[:8] == [0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0]
    assert max(waits) == 30.0
    assert viewer.troubles == ["cut", "nobody listens"]
    api.fault = lambda *_: None
    api.put(MAPS, config_map("x", v="2"))
    while viewer.last() != {"x": "2"}:
        await trio.sleep(0.1)
    await trio.sleep(TIMES.health_s + 1)
    assert viewer.troubles[2:] == [""]
    asked = len(api.asked(LIST))
    api.cut()
    await trio.sleep(0.3)
    assert len(api.asked(LIST)) == asked + 1


async def test_watches_cut_again_and_again_are_not_hammered(
    api: FakeApi, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """A server that lists but cuts every watch at once is asked less and less often."""
    start(api, nursery)
    for _ in range(600):
        await trio.sleep(0.1)
        api.cut()
    assert len(api.asked(LIST)) < 12


async def test_streams_closed_early_are_not_hammered(
    api: FakeApi, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """A proxy that ends every stream properly but early gets one quick retry, then a back-off."""
    viewer = start(api, nursery)
    for _ in range(600):
        await trio.sleep(0.1)
        api.close()
    assert len(api.asked(LIST)) < 12
    assert viewer.troubles == []


@pytest.mark.parametrize("status", [401, 403])
async def test_refusals_are_retried_slowly(
    api: FakeApi, nursery: trio.Nursery, autojump_clock: MockClock, status: int
) -> None:
    """People have to act: 10 s or more between tries, said once, naming verb and resource."""
    api.refuse = [(status, None)] * 5
    viewer = start(api, nursery)
    await trio.sleep(120)
    assert gaps(api.asked(LIST))[:5] == [15.0] * 5
    assert len(viewer.troubles) == 2
    assert LIST in viewer.troubles[0]
    assert viewer.troubles[1] == ""
    assert viewer.last() == {"x": "1"}


async def test_forbidden_watch_is_told_although_the_list_works(
    api: FakeApi, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """With list but no watch granted the trouble stays said; it does not flicker."""
    api.forbids_watch = True
    viewer = start(api, nursery)
    await trio.sleep(120)
    assert len(api.asked(WATCH)) > 5
    assert len(viewer.troubles) == 1
    assert WATCH in viewer.troubles[0]


async def test_retry_after_is_honoured_within_reason(
    api: FakeApi, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """429 with a wish: not before it, nor later than a minute for a foolish one."""
    api.refuse = [(429, "7"), (429, "100000"), (429, "soon")]
    start(api, nursery)
    await trio.sleep(120)
    assert gaps(api.asked(LIST))[:3] == [7.0, 60.0, 0.8]


async def test_errors_of_the_handler_travel(
    api: FakeApi, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """A bug in the handler is not taken for an outage."""

    async def broken(picture: dict[str, Any]) -> None:
        raise ZeroDivisionError

    def ignore(text: str) -> None:
        raise AssertionError(text)

    with pytest.raises(ZeroDivisionError):
        await Informer(api.client(), SOURCE, TIMES, data, broken, ignore, lambda: HALF).run()


async def test_seeded_storm_converges(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """Through writes, cuts, expiries and refusals pictures never go back, and end in the truth."""
    dice, api = random.Random(7), FakeApi(nursery)
    viewer = start(api, nursery)
    deeds = [api.cut, api.compact, api.close, lambda: api.refuse.extend([(500, None)] * 2)]
    for step in range(400):
        api.put(MAPS, config_map("x", v=str(step)))
        await trio.sleep(dice.expovariate(2))
        if dice.random() < 0.05:
            dice.choice(deeds)()
    api.refuse.clear()
    await trio.sleep(TIMES.backoff_max_s * 1.5)
    values = [int(p["x"]) for p in viewer.pictures if p]
    assert values == sorted(set(values))
    assert values[-1] == 399


async def test_bookmarks_and_repetitions_show_nothing(
    api: FakeApi, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """A bookmark is no object, and a version that is known already is no change."""
    viewer = start(api, nursery)
    await trio.sleep(1)
    api.version += 2
    api.note("BOOKMARK", MAPS, {"metadata": {"name": "", "resourceVersion": str(api.version)}})
    await trio.sleep(1)
    api.version += 1
    api.note("MODIFIED", MAPS, api.objects[f"{MAPS}/x"])
    await trio.sleep(1)
    api.put(MAPS, config_map("x", v="2"))
    await trio.sleep(1)
    assert viewer.pictures == [{"x": "1"}, {"x": "2"}]
