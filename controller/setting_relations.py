"""Relations between settings that safety or sense rests on: one row each, with its sentence.

A relation whose members could not be read is not judged: the reading was reported already.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from attrs import frozen

from statemachine.ids import Durability

RENEWAL_ROOM_S = 0.5  # one renewal of a gateway Lease that is slow, but not lost
CLOCK_RATE = 1.1  # how much faster than ours the clock of another node may run
SELF_FENCE_MIN_S = 2.0  # an answer may take half of it: an API server may be that slow, and well
LEASE_JITTER = 1.2  # as client-go: renewals are spread by up to a fifth


@frozen
class Relation:
    """`holds` is asked with the values of `members`, fields of Settings; `sentence` says what is
    wanted and why."""

    members: tuple[str, ...]
    holds: Callable[..., bool]
    sentence: str


def _fence_before_barrier(fence_s: float, barrier_s: float) -> bool:
    return fence_s * CLOCK_RATE + RENEWAL_ROOM_S <= barrier_s + 1e-9


RELATIONS: tuple[Relation, ...] = (
    Relation(
        ("gateway_self_fence_s", "gateway_barrier_s"),
        _fence_before_barrier,
        "GATEWAY_SELF_FENCE * 1.1 + 500ms must not be above GATEWAY_BARRIER: a gateway has to "
        "close by itself before the leader stops waiting for it",
    ),
    Relation(
        ("gateway_self_fence_s",),
        lambda fence_s: fence_s >= SELF_FENCE_MIN_S,
        "GATEWAY_SELF_FENCE must be at least 2s: the ledger's head is confirmed three times in it, "
        "and one lost answer must not close the gateway",
    ),
    Relation(
        ("lease_retry_s", "lease_renew_deadline_s"),
        lambda retry_s, deadline_s: retry_s * LEASE_JITTER < deadline_s,
        "LEASE_RETRY * 1.2 must be below LEASE_RENEW_DEADLINE: otherwise a healthy leader steps "
        "down between two renewals",
    ),
    Relation(
        ("lease_renew_deadline_s", "lease_duration_s"),
        lambda deadline_s, duration_s: deadline_s < duration_s,
        "LEASE_RENEW_DEADLINE must be below LEASE_DURATION: a leader has to stop acting before "
        "another may begin",
    ),
    Relation(
        ("probe_interval_s", "probe_timeout_s", "main_grace_s"),
        lambda interval_s, timeout_s, grace_s: interval_s + timeout_s <= grace_s,
        "PROBE_INTERVAL + PROBE_TIMEOUT must not be above MAIN_GRACE: one slow probe is no lost "
        "main",
    ),
    Relation(
        ("probe_interval_s", "probe_timeout_s", "sync_grace_s"),
        lambda interval_s, timeout_s, grace_s: interval_s + timeout_s <= grace_s,
        "PROBE_INTERVAL + PROBE_TIMEOUT must not be above SYNC_GRACE: one slow probe is no lost "
        "replica",
    ),
    Relation(
        ("gateway_connection_timeout_s", "gateway_timeout_s"),
        lambda dial_s, held_s: dial_s <= held_s,
        "GATEWAY_CONNECTION_TIMEOUT must not be above GATEWAY_TIMEOUT: a client is held no longer "
        "than that, so a longer dial could never be used",
    ),
    Relation(
        ("bolt_port", "replication_port"),
        lambda bolt, replication: bolt != replication,
        "BOLT_PORT and REPLICATION_PORT must differ: one instance listens on both",
    ),
    Relation(
        ("memgraph_user", "memgraph_password"),
        lambda user, password: bool(user) or not password,
        "MEMGRAPH_PASSWORD needs MEMGRAPH_USER",
    ),
    Relation(
        ("durability", "sync_eligible"),
        lambda durability, count: durability is not Durability.REQUIRED or count >= 2,
        "DURABILITY=required needs SYNC_ELIGIBLE of at least 2: with one copy alone writes would "
        "never open",
    ),
    Relation(
        ("gateway_tls_enabled", "gateway_tls_cert_path", "gateway_tls_key_path"),
        lambda is_on, cert_path, key_path: not is_on or bool(cert_path and key_path),
        "GATEWAY_TLS_ENABLED needs GATEWAY_TLS_CERT_PATH and GATEWAY_TLS_KEY_PATH: there is no "
        "certificate to show",
    ),
)

HIDDEN = frozenset({"memgraph_password"})


def problems_between(values: Mapping[str, Any], given: frozenset[str]) -> Iterator[str]:
    """A sentence for each relation that does not hold. `values`: field -> value or None where it
    could not be read; `given`: the variables that a person has set."""
    for relation in RELATIONS:
        members = [values[name] for name in relation.members]
        if None not in members and not relation.holds(*members):
            shown = ", ".join(_shown(n, values[n]) for n in relation.members if n not in HIDDEN)
            yield f"{relation.sentence} (now {shown})"
    yield from _listeners(values)
    if {"HTTP_PORT", "HTTP_BIND_ADDRESS"} <= given:
        yield from _http(values)


def _shown(attribute: str, value: Any) -> str:
    name = attribute.removesuffix("_s").upper()
    if isinstance(value, float) and attribute.endswith("_s"):
        return f"{name}={'off' if math.isinf(value) else f'{value:g}s'}"
    return f"{name}={getattr(value, 'value', value)}"


def _listeners(values: Mapping[str, Any]) -> Iterator[str]:
    names = ["HTTP_BIND_ADDRESS"]
    names += ["GATEWAY_BIND_ADDRESS"] if values["gateway_enabled"] else []
    names += ["GATEWAY_READ_BIND_ADDRESS"] if values["read_gateway_enabled"] else []
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            a, b = values[one.lower()], values[other.lower()]
            if a is not None and b is not None and a.clashes_with(b):
                yield f"{one} ({a}) and {other} ({b}) must differ: one process listens on both"


def _http(values: Mapping[str, Any]) -> Iterator[str]:
    port, bind = values["http_port"], values["http_bind_address"]
    if port is not None and bind is not None and port != bind.port:
        yield (
            f"HTTP_PORT={port} and HTTP_BIND_ADDRESS={bind} name two ports: set only one of them"
        )
