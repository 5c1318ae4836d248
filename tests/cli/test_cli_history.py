"""history and verify: over live part and archives, from a cluster and from files, at any moment."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import web_picture as p
import yaml
from cli_world import World, invoke
from ledgers import Kept

from controller.cli.exits import Problem
from controller.cli.history import Follower
from controller.cli.moments import Since, last_before, since_of, time_from
from controller.cli.reading import Target, find_release
from controller.cli.term_timeline import change_of_term, steps_of
from controller.cli.term_timeline import rows_of as rows_of_term
from controller.sandbox.apiserver import CONFIGMAPS
from statemachine.ledger import digest

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LABELS = {"memgraph-controller/release": "graph", "memgraph-controller/kind": "ledger-archive"}


@pytest.fixture(scope="module")
def kept() -> Kept:
    """A ledger that was cut several times."""
    return Kept().grow(30)


def config_map(name: str, data: Any, **labels: str) -> dict[str, Any]:
    """As kubectl prints it."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": labels},
        "data": dict(data),
    }


def maps_of(kept: Kept, release: str = "graph") -> list[dict[str, Any]]:
    """All pieces of a history."""
    parts = [
        config_map(f"{release}-ledger-{number:06d}", part.data, **LABELS)
        for number, part in kept.parts.items()
    ]
    return [config_map(f"{release}-ledger", kept.ledger.data), *parts]


def store_all(world: World, kept: Kept) -> None:
    """Into the API stand-in."""
    world.write_ledger(dict(kept.ledger.data))
    for archive in maps_of(kept)[1:]:
        world.store.create(CONFIGMAPS, "prod", archive)


def seqs(output: str) -> list[int]:
    """Of entries printed as JSON."""
    return [entry["seq"] for entry in json.loads(output)]


async def test_history_reads_on_into_the_archives(world: World, kept: Kept) -> None:
    """Every entry since the first, in order, each once; with --since those after it, whether they
    are in an archive or not; refused requests are among them."""
    store_all(world, kept)
    result = await world.cli("history", "-o", "json")
    assert result.exit_code == 0, result.output
    assert seqs(result.stdout) == list(range(1, kept.ledger.seq + 1))
    for since in (3, int(kept.ledger.base_seq) + 1):
        result = await world.cli("history", "-o", "json", "--since", str(since))
        assert seqs(result.stdout) == list(range(since + 1, kept.ledger.seq + 1))
        assert (result.exit_code, result.stderr) == (0, "")
    table = (await world.cli("history")).stdout
    assert "request_refused" in table
    assert "ledger_archived" in table


async def test_verify_says_what_was_verified_and_what_is_not_proven(
    world: World, kept: Kept
) -> None:
    """Entries, terms, pieces and head; that all of it could be written anew; and with a head that
    was kept elsewhere, which entry that is."""
    store_all(world, kept)
    result = await world.cli("verify")
    assert result.exit_code == 0, result.output
    assert f"{kept.ledger.seq} (1 to {kept.ledger.seq})" in result.stdout
    assert kept.ledger.head in result.stdout
    assert "write the whole chain anew" in result.stdout
    old = digest(kept.whole.lines[4])
    result = await world.cli("verify", "--head", old, "-o", "json")
    document = json.loads(result.stdout)
    assert result.exit_code == 0
    assert document["heads_found"] == {old: 5}
    assert document["archives"] == len(kept.parts)
    result = await world.cli("verify", "--head", "0" * 32)
    assert result.exit_code == 1
    assert "written anew or cut" in result.stderr


@pytest.mark.parametrize("damage", ["edited", "missing", "live"])
async def test_verify_names_the_first_bad_entry(world: World, kept: Kept, damage: str) -> None:
    """Exit code 1, the entry, the piece and the reason; history shows what is verified all the
    same."""
    store_all(world, kept)
    name = "graph-ledger" if damage == "live" else "graph-ledger-000003"
    if damage != "live":
        found = world.store.get(CONFIGMAPS, "prod", name)
        world.store.delete(CONFIGMAPS, "prod", name)
    if damage == "edited":
        data = dict(found["data"])
        key = min(data)
        data[key] = data[key].replace('"by":"c0"', '"by":"c7"')
        world.store.create(CONFIGMAPS, "prod", config_map(name, data, **LABELS))
        first_bad = int(key) + 1
    elif damage == "live":
        data = dict(kept.ledger.data)
        keys = sorted(k for k in data if k.isdecimal())
        data[keys[2]] = data[keys[2]].replace('"by":"c0"', '"by":"c7"')
        world.write_ledger(data)
        first_bad = int(keys[3])
    else:
        first_bad = 9
    result = await world.cli("verify")
    assert result.exit_code == 1
    assert f"entry {first_bad} (" in result.stderr
    result = await world.cli("history", "-o", "json")
    assert result.exit_code == 1
    shown = seqs(result.stdout)
    assert set(range(1, first_bad)) <= set(shown)
    assert shown == sorted(set(shown))


@pytest.mark.parametrize("where", ["cluster", "file"])
async def test_verify_misses_a_last_entry_that_was_cut_off(
    world: World, kept: Kept, tmp_path: Path, where: str
) -> None:
    """No chain shows it; the seal in the object's annotations does."""
    store_all(world, kept)
    last = max(key for key in kept.ledger.data if key.isdecimal())
    data = {key: line for key, line in kept.ledger.data.items() if key != last}
    found = world.store.get(CONFIGMAPS, "prod", "graph-ledger")
    metadata = {**found["metadata"], "annotations": kept.ledger.annotations}
    cut = {**found, "metadata": metadata, "data": data}
    world.store.replace(CONFIGMAPS, "prod", "graph-ledger", cut)
    pieces = {"kind": "List", "items": [cut, *maps_of(kept)[1:]]}
    (tmp_path / "ledger.json").write_text(json.dumps(pieces))
    files = ("--file", str(tmp_path / "ledger.json")) if where == "file" else ()
    result = await world.cli("verify", *files)
    assert result.exit_code == 1
    assert f"entry {int(last)} is not there as it was written" in result.stderr


async def test_files_are_as_good_as_a_cluster(kept: Kept, tmp_path: Path) -> None:
    """A list as YAML, one object a file, JSON, a directory of them: the same history; several
    releases have to be told apart."""
    whole = tmp_path / "all.yaml"
    whole.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": maps_of(kept)}))
    folder = tmp_path / "folder"
    folder.mkdir()
    for number, one in enumerate(maps_of(kept)):
        if number % 2:
            (folder / f"{number}.yaml").write_text(yaml.safe_dump(one))
        else:
            (folder / f"{number}.json").write_text(json.dumps(one))
    for path in (whole, folder):
        result = await invoke("verify", "--file", str(path), "-o", "json")
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["head"] == kept.ledger.head
        result = await invoke("history", "--file", str(path), "-o", "json")
        assert seqs(result.stdout) == list(range(1, kept.ledger.seq + 1))
    (folder / "other.yaml").write_text(yaml.safe_dump_all(maps_of(kept, "other")))
    result = await invoke("verify", "--file", str(folder))
    assert result.exit_code == 2
    assert "graph, other" in result.stderr
    result = await invoke("verify", "--file", str(folder), "--release", "other")
    assert result.exit_code == 0, result.output


async def test_the_live_part_alone_is_not_the_whole(kept: Kept, tmp_path: Path) -> None:
    """verify misses the archives that the ledger counts on; history from within the live part does
    not need them."""
    live = tmp_path / "live.yaml"
    live.write_text(yaml.safe_dump(maps_of(kept)[0]))
    result = await invoke("verify", "--file", str(live))
    assert result.exit_code == 1
    assert "are not there" in result.stderr
    base = str(int(kept.ledger.base_seq))
    result = await invoke("history", "--file", str(live), "--since", base, "-o", "json")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = tmp_path / "lines.jsonl"
    lines.write_text("".join(kept.whole.lines[:8]))
    result = await invoke("verify", "--file", str(lines))
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("kind: Secret", "no ledger"),
        ("{", "neither YAML nor JSON"),
        ('{"kind": "ConfigMap"}', "no ledger"),
    ],
)
async def test_files_that_hold_none_are_refused(tmp_path: Path, text: str, says: str) -> None:
    """With a sentence, and no guess."""
    odd = tmp_path / "odd.yaml"
    odd.write_text(text)
    result = await invoke("history", "--file", str(odd))
    assert result.exit_code in (2, 4)
    assert says in result.stderr
    result = await invoke("history", "--file", str(tmp_path / "nothing.yaml"))
    assert result.exit_code == 4
    assert "is not there" in result.stderr


async def test_what_was_known_at_a_time(world: World) -> None:
    """Phase, main, sync set, term, readers, writes, gateways and the evidence of the last entry by
    then, and the next entry; what was never in the ledger is named."""
    lines = [json.loads(line) for line in p.history().lines]
    at = datetime.fromisoformat(lines[3]["at"]) + timedelta(milliseconds=1)
    result = await world.cli("history", "--at", at.isoformat(), "-o", "json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["entry"]["seq"] == 4
    assert document["next"]["seq"] == 5
    assert document["phase"] == "FAILOVER"
    assert document["change"]["candidate"] == "memgraph-1"
    assert document["change"]["registered"] == ["memgraph-1"]
    assert document["writes"] == {
        "open": False,
        "why_closed": "the main changes: memgraph-1 is candidate",
    }
    assert document["gateways"]["must_have_acknowledged"] == 4
    assert document["evidence"] == lines[3]["facts"]
    table = (await world.cli("history", "--at", at.isoformat())).stdout
    assert "not in the ledger" in table
    assert "under way" in table
    result = await world.cli("history", "--at", "2020-01-01")
    assert result.exit_code == 4
    assert "no entry by 2020-01-01" in result.stderr


async def test_one_change_of_main_step_by_step(world: World) -> None:
    """Decided, fenced by which proof, promoted, opened: with the entry of each and the seconds
    since the first; what is missing is said to be missing, not made up."""
    term = json.loads(p.history().lines[3])["term"]
    result = await world.cli("history", "--term", str(term), "-o", "json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    steps = {s["step"]: s for s in document["steps"]}
    assert [s for s in steps if steps[s]["entry"]] == ["decided", "fenced", "promoted", "opened"]
    assert [steps[s]["entry"] for s in ("decided", "fenced", "promoted")] == [4, 5, 6]
    assert steps["promoted"]["after_s"] > 0
    for name in ("suspected", "redundant"):
        assert steps[name]["at"] is None
        assert "not in the ledger" in steps[name]["what"]
    table = (await world.cli("history", "--term", str(term))).stdout
    assert table.splitlines()[0].split() == ["STEP", "ENTRY", "AT", "AFTER", "WHAT"]
    result = await world.cli("history", "--term", "99")
    assert result.exit_code == 4
    assert "no term 99" in result.stderr


def entry(seq: int, on: str, source: str, to: str, term: int, **data: Any) -> dict[str, Any]:
    """An entry, one second after the one before it."""
    at = (NOW + timedelta(seconds=seq)).isoformat()
    facts = data.pop("facts", {})
    given = {"proof": "dead", "main": "b", "verdict": "none", **data}
    return {
        "seq": seq, "on": on, "from": source, "to": to, "term": term, "at": at, "by": "c0",
        "why": "because", "facts": facts, "data": given, "sync": ["a", "b"], "main": "b",
    }  # fmt: skip


O, F, D = "OPERATIONAL", "FAILOVER", "DEGRADED"  # noqa: E741
LONG = [
    entry(1, "sync_joined", D, O, 2),
    entry(2, "decision_refused", O, O, 2),
    entry(3, "main_lost", O, F, 3, facts={"evidence_lasts": "it is silent for 2.5 s of 2.0 s"}),
    entry(4, "leader_elected", F, F, 4),
    entry(5, "main_fenced", F, F, 4, facts={"gateways_have_cut": "2 acknowledged, 1 expired"}),
    entry(6, "candidate_lost", F, F, 5),
    entry(7, "main_promoted", F, D, 5),
    entry(8, "leader_elected", D, D, 6),
    entry(9, "sync_joined", D, O, 6),
    entry(10, "leader_elected", O, O, 7),
]


@pytest.mark.parametrize("term", [3, 4, 5])
def test_a_change_through_several_terms_is_one(term: int) -> None:
    """Whichever of its terms is asked for: from the suspicion before it to its redundancy, with a
    change of leader and a lost candidate between."""
    change = change_of_term(LONG, term)
    assert [e["seq"] for e in change] == [3, 4, 5, 6, 7, 8, 9]
    steps = steps_of(change)
    names = ["suspected", "decided", "leader", "fenced", "candidate_lost", "promoted", "opened"]
    assert [s.name for s in steps] == [*names, "leader", "redundant"]
    assert steps[0].at == NOW + timedelta(seconds=0.5)
    assert "by dead; gateways: 2 acknowledged, 1 expired" in steps[3].what
    assert rows_of_term(steps)[-1][3] == "+1.000s (8.500s)"


def test_a_term_without_a_change_of_main_is_its_entries() -> None:
    """A new leader alone changes no main; the refused decision is there."""
    assert [e["seq"] for e in change_of_term(LONG, 2)] == [1, 2]
    assert [e["seq"] for e in change_of_term(LONG, 7)] == [10]
    names = [s.name for s in steps_of(change_of_term(LONG, 2))]
    assert "refused" in names
    assert names.count("decided") == 1


def test_moments() -> None:
    """A number is an entry; anything else a time, or how long ago; UTC where no zone is given."""
    assert since_of("", NOW) == Since()
    assert since_of("40", NOW) == Since(40)
    assert since_of("2h", NOW) == Since(0, NOW - timedelta(hours=2))
    assert time_from("2026-03-01", NOW) == datetime(2026, 3, 1, tzinfo=UTC)
    assert time_from("2026-03-01T13:00:00+01:00", NOW) == NOW
    with pytest.raises(Problem, match="wants an entry"):
        since_of("yesterday", NOW)
    assert Since(0, NOW + timedelta(seconds=9)).has(LONG[8])
    assert not Since(0, NOW + timedelta(seconds=9)).has(LONG[7])


def test_clocks_that_disagree_are_told() -> None:
    """The order of entries is the order of events: the last one that was written by then counts,
    and earlier ones with a later time make it doubtful."""
    late = [*LONG[:3], {**LONG[3], "at": (NOW + timedelta(hours=1)).isoformat()}, *LONG[4:]]
    assert last_before(LONG, NOW + timedelta(seconds=5)) == (5, "")
    last, doubt = last_before(late, NOW + timedelta(seconds=5))
    assert last == 5
    assert "entries 4 stand before it" in doubt
    assert last_before(LONG, NOW) == (0, "")


async def test_following_goes_on_over_a_cut(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was appended and moved into archives between two looks is printed, once and in order;
    another history in its place is told."""
    import trio

    growing = Kept().grow(2)
    store_all(world, growing)
    target = Target(kubeconfig=str(world.kubeconfig))
    release = await trio.to_thread.run_sync(find_release, target)
    follower = Follower(release, 0, "json")
    await trio.to_thread.run_sync(follower.look)
    before = set(growing.parts)
    growing.grow(30)
    for one in maps_of(growing)[1:]:
        if int(one["metadata"]["name"][-6:]) not in before:
            world.store.create(CONFIGMAPS, "prod", one)
    world.write_ledger(dict(growing.ledger.data))
    await trio.to_thread.run_sync(follower.look)
    printed = [json.loads(line)["seq"] for line in capsys.readouterr().out.splitlines()]
    assert printed == list(range(1, growing.ledger.seq + 1))
    assert follower.told == ""
    world.write_ledger(dict(p.history().data))
    await trio.to_thread.run_sync(follower.look)
    assert "does not go on" in follower.told


async def test_contradictory_wishes_are_refused(world: World) -> None:
    """--at, --term and --follow exclude each other; files cannot be followed."""
    for args in (
        ["--at", "2h", "--term", "1"],
        ["--follow", "--at", "2h"],
        ["--since", "1", "--term", "2"],
    ):
        assert (await world.cli("history", *args)).exit_code == 2
    assert (await invoke("history", "--follow", "--file", "x")).exit_code == 2
