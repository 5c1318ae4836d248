"""Scenarios 2 to 5 and 14: answers in every form that was ever seen become the same values."""

import math

import pytest

from controller.errors import MemgraphUnreadable
from controller.memgraph import parse, register_error
from statemachine.ids import Mode, Role, RowStatus
from statemachine.observations import Row

READY = {"behind": 0, "status": "ready", "ts": 2}


def record(data_info: object, sync_mode: object = "strict_sync") -> dict[str, object]:
    return {
        "name": "r_ss",
        "socket_address": "127.0.0.1:11002",
        "sync_mode": sync_mode,
        "system_info": None,
        "data_info": data_info,
    }


@pytest.mark.parametrize(
    ("text", "role"),
    [
        ("main", Role.MAIN),
        ("MAIN", Role.MAIN),
        ("replica", Role.REPLICA),
        ("Replica", Role.REPLICA),
        ("coordinator", Role.UNKNOWN),
        ("", Role.UNKNOWN),
        (None, Role.UNKNOWN),
        (1, Role.UNKNOWN),
    ],
)
def test_role_is_known_whatever_its_case_and_else_unknown(text: object, role: Role) -> None:
    """Scenario 2: a role is an enum whatever its case; an unknown one is UNKNOWN, not "no main"."""
    assert parse.parse_role([{"replication role": text}]) is role


@pytest.mark.parametrize("answer", [[], [{}], [{"role": "main"}], [{"replication_role": "main"}]])
def test_role_that_is_not_there_raises(answer: list[dict[str, object]]) -> None:
    """Scenario 3: an empty answer or another column is a typed error, never a role."""
    with pytest.raises(MemgraphUnreadable, match="replication role"):
        parse.parse_role(answer)


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("strict_sync", Mode.STRICT_SYNC),
        ("STRICT_SYNC", Mode.STRICT_SYNC),
        ("sync", Mode.SYNC),
        ("async", Mode.ASYNC),
        ("quorum", Mode.UNKNOWN),
    ],
)
def test_mode_is_known_whatever_its_case_and_else_unknown(text: str, mode: Mode) -> None:
    """Scenario 2: `strict_sync` is never taken for `sync`, and an unknown mode is UNKNOWN."""
    assert parse.parse_rows([record({"memgraph": READY}, text)])[0].mode is mode


@pytest.mark.parametrize(
    "data_info",
    [
        {"memgraph": {"behind": 0, "status": "ready", "ts": 2}},
        {"memgraph": {"behind": 0.0, "status": "READY", "ts": 2.0}},
        '{"memgraph": {"behind": 0, "status": "ready", "ts": 2}}',
        "{memgraph: {behind: 0, status: ready, ts: 2}}",
        '{memgraph: {behind: 0.0, status: "ready", ts: 2}}',
        {"memgraph": READY, "other": {"behind": -7, "status": "invalid", "ts": 1}},
    ],
)
def test_every_form_of_data_info_gives_the_same_row(data_info: object) -> None:
    """Scenario 4: map, JSON and YAML flow string, int and float are one and the same row."""
    assert parse.parse_rows([record(data_info)]) == (
        Row("r_ss", "127.0.0.1:11002", Mode.STRICT_SYNC, RowStatus.READY, 0, 2),
    )


@pytest.mark.parametrize("data_info", [{}, "{}", None, "null", "", {"other": READY}])
def test_no_storage_client_is_absent(data_info: object) -> None:
    """Scenario 4: `{}`, null and a map without our database replicate nothing: never in sync."""
    (row,) = parse.parse_rows([record(data_info)])
    assert row.status is RowStatus.ABSENT
    assert (row.behind, row.ts, row.is_in_sync) == (None, None, False)


@pytest.mark.parametrize(
    "data_info",
    [
        {"memgraph": {"behind": 0, "status": "wonderful", "ts": 2}},
        {"memgraph": {"behind": 0, "ts": 2}},
        {"memgraph": "ready"},
        {"memgraph": {"behind": 0, "status": None, "ts": 2}},
        "{memgraph: [",
        "ready",
        7,
    ],
)
def test_status_that_nobody_knows_is_unknown(data_info: object) -> None:
    """What is not understood is UNKNOWN: not healthy, and not absent either."""
    (row,) = parse.parse_rows([record(data_info)])
    assert row.status is RowStatus.UNKNOWN
    assert not row.is_in_sync


@pytest.mark.parametrize(
    ("behind", "kept", "in_sync"),
    [(0, 0, True), (-3, -3, False), (3657, 3657, False), (None, None, False), ("0", None, False),
     (True, None, False), (math.nan, None, False), (math.inf, None, False), (-2.0, -2, False)],
)  # fmt: skip
def test_behind_keeps_its_sign(behind: object, kept: int | None, in_sync: bool) -> None:
    """Scenario 5: negative is lag, positive is an alarm and kept; only 0 is in sync."""
    info = {"memgraph": {"behind": behind, "status": "ready", "ts": 2}}
    (row,) = parse.parse_rows([record(info)])
    assert row.behind == kept
    assert row.is_in_sync is in_sync


@pytest.mark.parametrize("status", [s for s in RowStatus if s is not RowStatus.UNKNOWN])
def test_every_status_of_memgraph_is_known(status: RowStatus) -> None:
    """All strings of enums.hpp map to their member."""
    (row,) = parse.parse_rows([record({"memgraph": {**READY, "status": status.value}})])
    assert row.status is status


def test_rows_keep_their_order_and_none_is_none() -> None:
    """SHOW REPLICAS without rows is an empty tuple; else the order is Memgraph's."""
    assert parse.parse_rows([]) == ()
    rows = parse.parse_rows([{**record({}), "name": n} for n in ("b", "a")])
    assert [row.name for row in rows] == ["b", "a"]


@pytest.mark.parametrize("column", ["name", "socket_address", "sync_mode", "data_info"])
def test_missing_column_raises(column: str) -> None:
    """Scenario 3: a row without an expected column is a typed error that names the column."""
    broken = record({"memgraph": READY})
    del broken[column]
    with pytest.raises(MemgraphUnreadable, match=column):
        parse.parse_rows([broken])


@pytest.mark.parametrize("version", ["3.5.0", "3.6.1", "3.12.0", "3.12.0+17~abc", "v4.0", "10.0.0"])
def test_version_from_3_5_on_is_supported(version: str) -> None:
    """3.5 and later are supported, and 3.12 counts as later than 3.5."""
    parse.require_supported(parse.parse_version([{"version": version}]))


@pytest.mark.parametrize("version", ["3.4.9", "2.18.1", "3", "", "dev"])
def test_older_or_unreadable_version_is_refused(version: str) -> None:
    """A version below 3.5, or none at all, raises and says why."""
    with pytest.raises(MemgraphUnreadable, match=r"STRICT_SYNC|no version"):
        parse.require_supported(version)


def test_storage_uuid_is_found_among_the_rows() -> None:
    """`database_uuid` is found wherever it stands; without it the answer is empty."""
    rows = [("name", "memgraph"), ("database_uuid", "7208f4e0"), ("vertex_count", 0)]
    records = [{"storage info": name, "value": value} for name, value in rows]
    assert parse.parse_storage_uuid(records) == "7208f4e0"
    assert parse.parse_storage_uuid([records[0], records[2]]) == ""
    assert parse.parse_storage_uuid([{"storage info": "database_uuid", "value": None}]) == ""


def test_node_count_is_a_number_or_an_error() -> None:
    """Scenario 15: the count is read from count(n); anything else is no proof of emptiness."""
    assert parse.parse_node_count([{"nodes": 1}]) == 1
    for answer in ([], [{"nodes": None}], [{"vertex_count": 0}]):
        with pytest.raises(MemgraphUnreadable):
            parse.parse_node_count(answer)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("Couldn't register replica r_ss. Error: 1", 1),
        ("Couldn't register replica other. Error: 2", 2),
        ("Couldn't register replica `r-s.1`. Error: 3", 3),
        ("Couldn't register replica x. Error: 5", 5),
        ("Couldn't register replica x. Error: 12\n", 12),
        ("REGISTER ...: Couldn't register replica x. Error: 6 (code)", 6),
        ("Replica can't register another replica!", None),
        ("Error: 3", None),
        ("Couldn't register replica x.", None),
        ("", None),
    ],
)
def test_number_of_a_refused_register(text: str, number: int | None) -> None:
    """Scenario 14: the number is read from Memgraph's text, and from no other text."""
    assert register_error(text) == number
