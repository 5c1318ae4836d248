"""A copy that was left behind while older entries moved away: caught up with through the archives,
or not at all."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import trio
from attrs import define, field
from test_chronicle import Store

from controller.chronicle import CATCH_UP_LASTING_S, Chronicle
from controller.errors import KubeUnavailable
from controller.ports import StoredArchive, StoredLedger
from statemachine import events as e
from statemachine.archive import Limits, Part, archived_event, cut_at, next_number
from statemachine.events import Event
from statemachine.ids import Phase, Seq
from statemachine.ledger import Ledger, fold

B = Phase.BOOTSTRAP
SMALL = Limits(segment_entries=4, live_entries=8)


def add(ledger: Ledger, payload: e.Payload | Event, by: str = "other") -> Ledger:
    """One entry more."""
    event = payload if isinstance(payload, Event) else Event(payload, B, B, "because")
    return ledger.append(event, at="now", by=by, entry_id=f"{by}-{ledger.seq}")


def grown(count: int, ledger: Ledger | None = None, by: str = "other") -> Ledger:
    """That many more entries."""
    ledger = ledger or Ledger()
    for number in range(count):
        payload: e.Payload = e.LeaderElected(f"c{number}")
        ledger = add(ledger, payload if number % 2 == 0 else e.BootstrapRefused("no"), by)
    return ledger


@define(eq=False)
class Archives:
    """Archives in memory. `reads`: which were asked for."""

    parts: dict[int, Mapping[str, str]] = field(factory=dict)
    is_down: bool = False
    reads: list[int] = field(factory=list)
    while_reading: Callable[[], Any] = lambda: None

    async def read(self, number: int) -> StoredArchive | None:
        """See the port."""
        self.reads.append(number)
        self.while_reading()
        if self.is_down:
            raise KubeUnavailable("nobody there")
        data = self.parts.get(number)
        return None if data is None else StoredArchive(data, 0.0)

    async def create(self, number: int, data: Mapping[str, str]) -> None:
        """Not used here."""
        raise AssertionError

    async def delete(self, number: int) -> None:
        """Not used here."""
        raise AssertionError


def cut(ledger: Ledger, archives: Archives, retired: tuple[int, ...] = ()) -> Ledger:
    """The next four entries moved."""
    done = cut_at(ledger, Seq(ledger.base_seq + 4))
    number = next_number(ledger.cluster)
    archives.parts[number] = done.data
    return add(ledger, archived_event(ledger.cluster, done, number, retired)).cut(done.base)


async def standby(known: Ledger) -> tuple[Chronicle, Store, Archives]:
    """A pod that knows this much, by reading."""
    store, archives = Store(StoredLedger("uid", "1", known.data, {})), Archives()
    chronicle = Chronicle(store, by="me", now=lambda: "now", archives=archives)
    store.chronicle = chronicle
    await chronicle.read()
    assert chronicle.ledger == known
    return chronicle, store, archives


def shown(chronicle: Chronicle, ledger: Ledger) -> None:
    """The watch shows this."""
    chronicle.take_picture(StoredLedger("uid", "9", ledger.data, {}))


@pytest.mark.parametrize("known", [0, 1, 3, 4, 5, 8])
async def test_who_lags_behind_cuts_catches_up(known: int) -> None:
    """Behind three cuts or none: the archives lead there, and what is taken is what is stored. A
    pod without memory needs none of them."""
    truth = grown(20)
    begun = fold({key: line for key, line in truth.data.items() if int(key) <= known})
    chronicle, _, archives = await standby(begun)
    for _ in range(3):
        truth = cut(truth, archives)
    assert truth.base_seq == 12
    shown(chronicle, truth)
    assert chronicle.is_behind is (known > 0)
    assert bool(chronicle.trouble) is (known > 0)
    await chronicle.catch_up()
    assert (chronicle.ledger, chronicle.trouble, chronicle.is_behind) == (truth, "", False)
    assert bool(archives.reads) is (known > 0)


async def test_who_still_holds_the_lines_needs_no_archive() -> None:
    """A cut within the own copy is checked against the own lines at once."""
    truth = grown(10)
    chronicle, _, archives = await standby(truth)
    cut_once = cut(truth, archives)
    shown(chronicle, cut_once)
    assert (chronicle.ledger, chronicle.trouble, archives.reads) == (cut_once, "", [])


async def test_another_history_behind_a_cut_is_refused() -> None:
    """The archives lead to it, but not from our last entry: it is not ours, and the leader writes
    over it (S16)."""
    chronicle, _, archives = await standby(grown(6))
    other = cut(cut(grown(20, by="forger"), archives), archives)
    shown(chronicle, other)
    assert chronicle.is_behind
    await chronicle.catch_up()
    assert not chronicle.is_behind
    assert "not ours" in chronicle.trouble
    assert chronicle.ledger == grown(6)


@pytest.mark.parametrize("damage", ["missing", "edited", "foreign"])
async def test_without_its_archives_nobody_can_tell(damage: str) -> None:
    """An archive that should be there and is not, or is damaged: the copy stays what it is, the
    trouble says what to do, and what is stored is not written over."""
    truth = grown(20)
    chronicle, _, archives = await standby(grown(3))
    for _ in range(3):
        truth = cut(truth, archives)
    if damage == "missing":
        del archives.parts[2]
    elif damage == "foreign":
        archives.parts[2] = Part(2, cut_at(grown(8, by="x"), Seq(8)).data).data
    else:
        data = dict(archives.parts[2])
        data["00000007"] = data["00000007"].replace("because", "why not")
        archives.parts[2] = data
    shown(chronicle, truth)
    await chronicle.catch_up()
    assert chronicle.trouble
    assert chronicle.ledger == grown(3)
    if damage != "edited":
        assert "restart it" in chronicle.trouble
        assert chronicle.is_behind


async def test_over_what_the_settings_gave_up_it_goes_on() -> None:
    """The ledger says that the archives between were given up: it is taken as a starting pod takes
    it, unless something speaks against it."""
    truth = grown(20)
    chronicle, _, archives = await standby(grown(3))
    truth = cut(cut(truth, archives), archives, retired=(1,))
    del archives.parts[1]
    shown(chronicle, truth)
    await chronicle.catch_up()
    assert (chronicle.ledger, chronicle.trouble) == (truth, "")
    ahead = grown(1, grown(1, grown(1)))  # more terms than the other has
    chronicle, _, archives = await standby(ahead)
    other = grown(1)
    for _ in range(12):
        other = add(other, e.BootstrapRefused("no"))
    other = cut(cut(other, archives), archives, retired=(1,))
    del archives.parts[1]
    shown(chronicle, other)
    await chronicle.catch_up()
    assert "term" in chronicle.trouble
    assert chronicle.ledger == ahead


async def test_what_is_appended_meanwhile_is_taken_too() -> None:
    """A reading that comes while the archives are read is the one that is taken."""
    chronicle, _, archives = await standby(grown(3))
    truth = cut(grown(20), archives)
    newer = add(truth, e.BootstrapRefused("later"))
    archives.while_reading = lambda: shown(chronicle, newer)
    shown(chronicle, truth)
    await chronicle.catch_up()
    assert chronicle.ledger == newer


@pytest.mark.parametrize("count", [5, 7])
async def test_an_edited_last_line_does_not_keep_it_behind(count: int) -> None:
    """Its last line, by another pod, is not the one in the archive; everything before it is. Also
    where the cut is right behind that line."""
    before = grown(count)
    edited = add(before, e.BootstrapRefused("edited by hand"))
    chronicle, _, archives = await standby(edited)
    truth = cut(cut(grown(12, before), archives), archives)
    assert truth.base_seq >= edited.seq
    shown(chronicle, truth)
    await chronicle.catch_up()
    assert (chronicle.ledger, chronicle.trouble) == (truth, "")


@pytest.mark.parametrize("tail", [0, 1, 5])
async def test_a_last_line_gives_way_to_one_with_a_barrier_behind_it(tail: int) -> None:
    """Whatever was appended after the barrier, and also when the cut is right behind the line."""
    before = grown(4)
    chronicle, _, archives = await standby(add(before, e.BootstrapRefused("edited by hand")))
    restored = add(add(before, e.BootstrapRefused("as it was")), e.LeaderElected("c9"))
    restored = grown(tail, restored)
    if tail == 5:
        restored = cut(restored, archives)
        assert restored.base_seq == 4
    shown(chronicle, restored)
    assert (chronicle.ledger, chronicle.trouble) == (restored, "")


async def test_a_last_line_gives_way_to_nothing_less() -> None:
    """Not to another line alone, not to one with something else behind it, not if two lines are
    others; and an own line gives way to nothing (S6, S16)."""
    before = grown(4)
    held = add(before, e.BootstrapRefused("edited by hand"))
    chronicle, store, _ = await standby(held)
    other = add(before, e.BootstrapRefused("as it was"))
    two_others = grown(3, add(grown(3), e.BootstrapRefused("x")))
    for refused in (other, add(other, e.BootstrapRefused("more")), two_others):
        shown(chronicle, refused)
        assert chronicle.trouble
        assert chronicle.ledger == held
    store.stored = StoredLedger("uid", "9", held.data, {})
    shown(chronicle, held)
    assert chronicle.trouble == ""
    assert await chronicle.append(Event(e.BootstrapRefused("own"), B, B, "because"))
    own = chronicle.ledger
    shown(chronicle, grown(3, add(held, e.BootstrapRefused("another"))))
    assert chronicle.trouble
    assert chronicle.ledger == own
    assert store.writes == 1


async def test_it_goes_on_trying(autojump_clock: Any, nursery: Any) -> None:
    """While the API server is away the trouble is told; when it is back the copy catches up. What
    was in vain is not asked again at once."""
    told: list[str] = []
    chronicle, _, archives = await standby(grown(3))
    truth = cut(grown(20), archives)
    archives.is_down = True
    with trio.fail_after(60):
        nursery.start_soon(chronicle.keep_up, told.append)
        shown(chronicle, truth)
        await trio.sleep(3 * CATCH_UP_LASTING_S)
        assert "nobody there" in told[-1]
        assert len(archives.reads) <= 4
        archives.is_down = False
        await trio.sleep(2 * CATCH_UP_LASTING_S)
        assert (chronicle.ledger, told[-1]) == (truth, "")
        nursery.cancel_scope.cancel()


async def test_archives_that_come_back_let_it_go_on(autojump_clock: Any, nursery: Any) -> None:
    """Deleted by a hand while this pod was away: it says which are not there, stays as it is, and
    goes on by itself once they are back, one after the other."""
    chronicle, _, archives = await standby(grown(3))
    truth = grown(40)
    for _ in range(8):
        truth = cut(truth, archives)
    kept = {number: archives.parts.pop(number) for number in (1, 2, 3, 4, 5, 6, 7)}
    with trio.fail_after(120):
        nursery.start_soon(chronicle.keep_up, lambda trouble: None)
        shown(chronicle, truth)
        await trio.sleep(2 * CATCH_UP_LASTING_S)
        assert chronicle.missing == (1, 2, 3, 4, 5, 6, 7)
        assert "not there: 000007, 000006, 000005, 000004, 000003 and 2 more" in chronicle.trouble
        assert "put them back" in chronicle.trouble
        for number in (7, 6, 5, 4, 3):
            archives.parts[number] = kept[number]
        await trio.sleep(2 * CATCH_UP_LASTING_S)
        assert chronicle.missing == (1, 2)
        assert chronicle.ledger == grown(3)
        archives.parts |= kept
        await trio.sleep(2 * CATCH_UP_LASTING_S)
        assert (chronicle.ledger, chronicle.trouble, chronicle.missing) == (truth, "", ())
        nursery.cancel_scope.cancel()


async def test_a_damaged_archive_that_is_repaired_lets_it_go_on() -> None:
    """What was refused is looked at again with the next reading."""
    truth = grown(20)
    chronicle, _, archives = await standby(grown(3))
    for _ in range(3):
        truth = cut(truth, archives)
    whole = archives.parts[2]
    archives.parts[2] = {**whole, "00000007": whole["00000007"].replace("because", "why not")}
    shown(chronicle, truth)
    await chronicle.catch_up()
    assert "not ours" in chronicle.trouble
    archives.parts[2] = whole
    shown(chronicle, truth)
    await chronicle.catch_up()
    assert (chronicle.ledger, chronicle.trouble) == (truth, "")
