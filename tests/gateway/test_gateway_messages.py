"""The words between controller and relay worker: whole, and safe against anything else."""

import json
import random
import socket
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import ClientTls, Kind, Limits, Malformed, ProxyProtocol, Route, Upstream, UpstreamTls
from gateway import messages as m
from gateway.counters import Counters, lost, together
from gateway.decoding import _PARSERS, decode
from gateway.histogram import Distribution
from gateway.link import Socket
from gateway.worker import Worker

UPSTREAM = Upstream("memgraph-0", 3, "10.1.2.3", 7687, 0.5)
COUNTERS = Counters(
    accepted=9,
    active=2,
    held=1,
    refused={"no_route": 2},
    ended={"cut": 4},
    cut=4,
    dial_failures=1,
    bytes_up=10,
    bytes_down=1 << 40,
    sessions={"memgraph-0": 2},
    term=7,
    durations_s=Distribution((1.0,), (3, 1), 12.5),
    waits_s=Distribution((0.1,), (6, 0), 0.25),
    dials_s=Distribution((0.1,), (5, 1), 0.5),
    cut_by_term={"7": 4},
    failed_dials={"memgraph-1": 1},
    drained_by_term={"7": 3},
    bytes_up_by={"memgraph-0": 10},
    bytes_down_by={"memgraph-0": 1 << 40},
)
LIMITS = Limits(
    idle_timeout_s=9.0,
    session_bytes_max=1 << 33,
    rate_per_s=3.0,
    proxy_protocol=ProxyProtocol.ACCEPT,
    client_tls=ClientTls("/tls/crt", "/tls/key", "/tls/ca"),
    upstream_tls=UpstreamTls(True, "/ca", "memgraph.prod.svc"),
)
EACH: list[m.Message] = [
    m.Open(Kind.RO, 5, Limits()),
    m.Open(Kind.RW, 5, LIMITS),
    m.Follow(Kind.RW, Route(3, (UPSTREAM,), "", is_held=True, drain_until_s=12.5)),
    m.Follow(Kind.RW, Route(3, (), "x" * m.SENTENCE_CHARS_MAX)),
    m.Serve(Kind.RW, 123.5),
    m.Confirm(Kind.RW, "memgraph-0", 3, 17.25),
    m.Mark(4),
    m.Leave(77.5),
    m.Marked(4),
    m.Need(Kind.RO, "memgraph-1", 2),
    m.Counted(Kind.RW, COUNTERS),
    m.Over(Kind.RW, "2001:db8::1", "memgraph-0", "127.0.0.1:7687", 4, "cut", 1, 2, 3.5),
    m.Trouble("something"),
]


@pytest.mark.parametrize("message", EACH, ids=lambda x: type(x).__name__)
def test_each_message_comes_back(message: m.Message) -> None:
    """What is encoded and decoded is equal, and fits a packet."""
    packet = m.encode(message)
    assert len(packet) < m.PACKET_BYTES_MAX
    assert decode(packet) == message


def test_every_message_is_tried() -> None:
    """No message of the protocol is missing above."""
    assert {type(message).__name__ for message in EACH} == set(_PARSERS)


@pytest.mark.parametrize("message", EACH, ids=lambda x: type(x).__name__)
def test_no_field_may_be_missing_or_more(message: m.Message) -> None:
    """A message without one of its fields, or with another one, is malformed."""
    document = json.loads(m.encode(message))
    for name in document:
        without = {k: v for k, v in document.items() if k != name}
        with pytest.raises(Malformed):
            decode(json.dumps(without).encode())
    with pytest.raises(Malformed):
        decode(json.dumps({**document, "more": 1}).encode())


@pytest.mark.parametrize("version", [0, 2, "1", None, True])
def test_another_version_is_refused(version: object) -> None:
    """Only version 1 is understood. (JSON's true is not the number 1.)"""
    document = {**json.loads(m.encode(m.Mark(1))), "v": version}
    with pytest.raises(Malformed):
        decode(json.dumps(document).encode())


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(st.sampled_from(EACH), st.integers(0, 20), VALUES)
def test_any_value_in_any_field(message: m.Message, which: int, value: object) -> None:
    """Fuzz: whatever stands in whichever field, the result is a message or Malformed."""
    document = json.loads(m.encode(message))
    names = list(document)
    document[names[which % len(names)]] = value
    with suppress(Malformed):
        assert isinstance(decode(json.dumps(document).encode()), m.Message)


@given(st.binary(max_size=300) | st.just(b"[" * 50_000) | st.just(b"9" * 50_000))
def test_any_bytes(packet: bytes) -> None:
    """Fuzz: any bytes are malformed, and nothing else happens."""
    with pytest.raises(Malformed):
        decode(packet)


def test_flipped_bytes_never_escape() -> None:
    """Fuzz: real packets with changed bytes are messages or malformed."""
    dice = random.Random(11)
    for _ in range(5000):
        packet = bytearray(m.encode(dice.choice(EACH)))
        for _ in range(1 + dice.randrange(3)):
            packet[dice.randrange(len(packet))] = dice.randrange(256)
        with suppress(Malformed):
            decode(bytes(packet))


@pytest.mark.parametrize(
    "packet",
    [
        b"rubbish",
        m.encode(m.Marked(1)),
        m.encode(m.Serve(Kind.RW, 5.0)),
        m.encode(m.Open(Kind.RW, 10_000, Limits())),
        m.encode(m.Open(Kind.RW, 10_000, LIMITS)),
    ],
    ids=["no message", "a worker's own", "not opened", "no such listener", "no such files"],
)
def test_a_worker_ends_when_its_parent_makes_no_sense(
    packet: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    """S6: a worker that is told nonsense ends, and says why; it does not go on as it was."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        parent = Socket(fileno=theirs.detach())
        parent.setblocking(False)
        worker = Worker(parent)
        ours.send(packet)
        began_s = time.monotonic()
        worker.run()
        assert time.monotonic() - began_s < 5
    assert "relay worker:" in capfd.readouterr().err


def test_numbers_of_a_lost_worker_stay_balanced() -> None:
    """Nobody is forgotten: what was open is counted as ended or refused, and lives add up."""
    after = lost(COUNTERS)
    assert (after.active, after.held, dict(after.sessions)) == (0, 0, {})
    assert after.ended["worker_lost"] == 2
    assert after.refused["worker_lost"] == 1
    assert after.accepted == sum(after.refused.values()) + sum(after.ended.values())
    both = together(after, COUNTERS)
    assert (both.accepted, both.active, both.term) == (18, 2, 7)
    assert both.durations_s.counts == (6, 2)
