"""The cluster as a line: what is read is what was written, and nothing else is read."""

import json

import pytest
from attrs import evolve, fields, has
from hypothesis import given
from hypothesis import strategies as st
from lives import prefixes

from statemachine.cluster import Archived, Cluster, Pause
from statemachine.codec import LedgerCorrupt
from statemachine.ids import Seq
from statemachine.snapshot import _FIELDS, SNAPSHOT_BYTES_MAX, read_snapshot, snapshot_of

HEAD = "ab" * 16
FULL = evolve(
    list(prefixes())[-1],
    pause=Pause("alice", "umlaut ä \x7f \u2028", 1_800_000_000),
    archived=Archived(3, 7, Seq(896), "0f" * 16, (1, 2)),
    answered=("r-1", "r-2"),
    noted=frozenset({"main_lost/memgraph-1/subject_answers"}),
)


@pytest.mark.parametrize("cluster", [Cluster(), *prefixes(), FULL], ids=lambda c: str(c.seq))
def test_every_cluster_of_a_life_reads_back(cluster: Cluster) -> None:
    """What is read is equal to what was written, in every phase, and writes the same bytes."""
    snapshot = snapshot_of(cluster, HEAD)
    assert read_snapshot(snapshot.line) == snapshot
    assert snapshot_of(read_snapshot(snapshot.line).cluster, HEAD).line == snapshot.line


def test_it_is_a_line_that_kubectl_prints() -> None:
    """ASCII without control characters, a newline at the end, far below its limit."""
    line = snapshot_of(FULL, HEAD).line
    assert line.endswith("\n")
    assert all(" " <= c < "\x7f" for c in line[:-1])
    assert len(line) < SNAPSHOT_BYTES_MAX // 8


def test_every_field_of_hard_state_is_written() -> None:
    """A field that is added to the cluster without a reader here turns this red: it would be lost
    with the first cut."""
    seen = {Cluster}
    for kind, readers in _FIELDS.items():
        assert has(kind)
        assert list(readers) == [f.name for f in fields(kind)], kind
        seen.add(kind)
    assert seen == set(_FIELDS)


def test_a_field_that_this_program_does_not_know_is_refused() -> None:
    """A newer program wrote it: going on without it would forget what was decided."""
    document = json.loads(snapshot_of(FULL, HEAD).line)
    document["cluster"]["quorum"] = 3
    with pytest.raises(LedgerCorrupt, match="quorum"):
        read_snapshot(json.dumps(document))


def test_a_newer_version_and_another_position_are_refused() -> None:
    """Neither is guessed at."""
    document = json.loads(snapshot_of(FULL, HEAD).line)
    with pytest.raises(LedgerCorrupt, match="version 2"):
        read_snapshot(json.dumps({**document, "v": 2}))
    with pytest.raises(LedgerCorrupt, match="position"):
        read_snapshot(json.dumps({**document, "seq": 1}))
    with pytest.raises(LedgerCorrupt, match="above"):
        read_snapshot(" " * (SNAPSHOT_BYTES_MAX + 1))


@given(
    st.sampled_from(sorted(_FIELDS[Cluster])),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    ),
)
def test_nothing_but_corruption_comes_out_of_nonsense(name: str, value: object) -> None:
    """Whatever a field holds: a cluster that writes itself back, or LedgerCorrupt."""
    document = json.loads(snapshot_of(FULL, HEAD).line)
    document["cluster"][name] = value
    try:
        found = read_snapshot(json.dumps(document))
    except LedgerCorrupt:
        return
    assert read_snapshot(snapshot_of(found.cluster, HEAD).line).cluster == found.cluster
