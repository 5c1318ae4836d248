"""Settings: read once, all problems at once (scenario 105)."""

import math

import pytest
from attrs import fields

from controller.setting_relations import RELATIONS
from controller.setting_values import Address
from controller.settings import VARIABLES, Settings, SettingsError, load
from statemachine.ids import Durability, Mode
from statemachine.view import Policy

LEAST = {
    "NAMESPACE": "prod",
    "RELEASE_NAME": "graph",
    "STATEFULSET_NAME": "graph-memgraph",
    "POD_NAME": "graph-controller-7c9-x",
    "POD_UID": "5b1c",
}


def problems(**changes: str) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        load(LEAST | changes)
    return caught.value.problems


def test_the_least_environment_gives_the_documented_defaults() -> None:
    """Five names are enough; everything else has the default of the documentation."""
    settings = load(LEAST)
    assert settings.http_bind_address == Address("0.0.0.0", 8080)
    assert settings.gateway_bind_address == Address("0.0.0.0", 7687)
    assert settings.gateway_read_bind_address == Address("0.0.0.0", 7688)
    assert settings.gateway_timeout_s == 30.0
    assert math.isinf(settings.gateway_idle_timeout_s)
    assert settings.probe_interval_s == 0.25
    assert (settings.lease_duration_s, settings.lease_renew_deadline_s) == (5.0, 3.5)
    assert settings.durability is Durability.PREFERRED
    assert settings.auto_reset == "safe"


def test_policy_of_the_defaults_is_the_default_policy() -> None:
    """What decisions assume by default and what settings say by default are one and the same."""
    eligible = ("graph-memgraph-0", "graph-memgraph-1")
    named = Policy(eligible=eligible, cluster_name="graph")  # type: ignore[arg-type]
    assert load(LEAST).policy() == named


def test_policy_carries_what_a_person_has_set() -> None:
    """Each setting that decisions look at reaches them."""
    policy = load(
        LEAST
        | {
            "SERVICE_NAME": "svc",
            "DURABILITY": "required",
            "REPLICATION_MODE": "sync",
            "SYNC_ELIGIBLE": "3",
            "EPOCH_RENEWAL": "off",
            "AUTO_RESET": "false",
            "READ_FALLBACK": "main",
            "MAIN_GRACE": "3s",
            "SYNC_GRACE": "1m30s",
            "GATEWAY_BARRIER": "8s",
            "PROBE_TIMEOUT": "500ms",
            "FAILOVER_COOLDOWN": "5m",
            "OBSERVE_ONLY": "true",
        }
    ).policy()
    assert policy.replication_domain == "svc.prod.svc.cluster.local"
    assert (policy.durability, policy.mode) == (Durability.REQUIRED, Mode.SYNC)
    assert len(policy.eligible) == 3
    assert (policy.renewal, policy.reset, policy.read_fallback_main) == ("off", "off", True)
    assert (policy.main_grace_s, policy.sync_grace_s, policy.gateway_barrier_s) == (3.0, 90.0, 8.0)
    assert policy.fresh_s == 1.0
    assert (policy.failover_cooldown_s, policy.observe_only) == (300.0, True)
    assert load(LEAST | {"FAILOVER_COOLDOWN": "0s"}).policy().failover_cooldown_s == 0


def test_all_problems_are_reported_at_once() -> None:
    """Scenario 105: one start shows every mistake, with variable, value and what is wanted."""
    with pytest.raises(SettingsError) as caught:
        load({"NAMESPACE": "prod", "BOLT_PORT": "banana", "PROBE_INTERVAL": "5"})
    text = str(caught.value)
    assert "STATEFULSET_NAME is not set: StatefulSet of Memgraph" in text
    assert "POD_NAME is not set" in text
    assert "BOLT_PORT='banana': wants a whole number from 1 to 65535" in text
    assert "PROBE_INTERVAL='5': wants a duration such as" in text
    assert len(caught.value.problems) == 6


@pytest.mark.parametrize("name", sorted(v.name for v in VARIABLES.values()))
def test_an_empty_value_counts_as_not_set(name: str) -> None:
    """A manifest that leaves a value empty means the default; a required one is still missing."""
    if name in LEAST:
        assert problems(**{name: ""})[0].startswith(f"{name} is not set")
    else:
        assert load(LEAST | {name: ""}) == load(LEAST)


BROKEN = [
    ({"GATEWAY_SELF_FENCE": "4500ms"}, "close by itself before the leader stops waiting"),
    ({"GATEWAY_SELF_FENCE": "1s"}, "GATEWAY_SELF_FENCE must be at least 2s"),
    ({"LEASE_RETRY": "3400ms"}, "LEASE_RETRY * 1.2 must be below LEASE_RENEW_DEADLINE"),
    ({"LEASE_RENEW_DEADLINE": "6s"}, "LEASE_RENEW_DEADLINE must be below LEASE_DURATION"),
    ({"PROBE_TIMEOUT": "1800ms"}, "not be above MAIN_GRACE"),
    ({"SYNC_GRACE": "1s"}, "not be above SYNC_GRACE"),
    ({"GATEWAY_TIMEOUT": "1s"}, "GATEWAY_CONNECTION_TIMEOUT must not be above GATEWAY_TIMEOUT"),
    ({"BOLT_PORT": "10000"}, "BOLT_PORT and REPLICATION_PORT must differ"),
    ({"MEMGRAPH_PASSWORD": "hunter2"}, "MEMGRAPH_PASSWORD needs MEMGRAPH_USER"),
    ({"DURABILITY": "required", "SYNC_ELIGIBLE": "1"}, "DURABILITY=required needs"),
    (
        {"GATEWAY_TLS_ENABLED": "true", "GATEWAY_TLS_CERT_PATH": "/tls/tls.crt"},
        "GATEWAY_TLS_ENABLED needs GATEWAY_TLS_CERT_PATH and GATEWAY_TLS_KEY_PATH",
    ),
]


@pytest.mark.parametrize(("changes", "sentence"), BROKEN, ids=lambda x: str(x)[:40])
def test_each_relation_is_checked(changes: dict[str, str], sentence: str) -> None:
    """A relation that does not hold stops the start, alone and with its reason."""
    (problem,) = problems(**changes)
    assert sentence in problem


def test_no_relation_is_without_a_test() -> None:
    """The table above names a broken case for each row of the relations."""
    named = {r.sentence for r in RELATIONS for _, sentence in BROKEN if sentence in r.sentence}
    assert named == {r.sentence for r in RELATIONS}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"HTTP_PORT": "7687"}, "HTTP_BIND_ADDRESS (0.0.0.0:7687) and GATEWAY_BIND_ADDRESS"),
        ({"GATEWAY_READ_BIND_ADDRESS": "127.0.0.1:7687"}, "GATEWAY_READ_BIND_ADDRESS (127.0.0.1"),
        ({"HTTP_PORT": "81", "HTTP_BIND_ADDRESS": "127.0.0.1:82"}, "name two ports"),
    ],
)
def test_listeners_must_not_clash(changes: dict[str, str], expected: str) -> None:
    """Two listeners of one process on one port are found before either is opened."""
    (problem,) = problems(**changes)
    assert expected in problem


def test_a_gateway_that_is_off_needs_no_port() -> None:
    """Only what listens can clash; and port 0 takes any free one."""
    changes = {"GATEWAY_READ_BIND_ADDRESS": "0.0.0.0:7687", "READ_GATEWAY_ENABLED": "false"}
    assert not load(LEAST | changes).read_gateway_enabled
    free = {"GATEWAY_BIND_ADDRESS": "127.0.0.1:0", "HTTP_BIND_ADDRESS": "127.0.0.1:0"}
    assert load(LEAST | free).gateway_bind_address.port == 0


def test_unknown_variables_with_our_prefixes_are_reported_with_a_hint() -> None:
    """A misspelt variable is not ignored; a person is told which one was meant."""
    assert problems(GATEWAY_SELFFENCE="4s") == (
        "GATEWAY_SELFFENCE: not a setting; did you mean GATEWAY_SELF_FENCE?",
    )
    assert "remove it" in problems(LEASE_XYZZY_QUUX_BLA="1")[0]
    assert problems(RECONCILE_INTERVAL="30s") == (
        "RECONCILE_INTERVAL='30s': not a setting of this version: remove it",
    )


def test_what_the_kubelet_sets_for_services_is_not_a_typing_error() -> None:
    """A Service called `gateway` in the namespace must not keep the controller from starting."""
    links = {
        "GATEWAY_SERVICE_HOST": "10.0.0.1",
        "GATEWAY_SERVICE_PORT_BOLT": "7687",
        "GATEWAY_PORT": "tcp://10.0.0.1:7687",
        "GATEWAY_PORT_7687_TCP_ADDR": "10.0.0.1",
    }
    assert load(LEAST | links) == load(LEAST)
    assert "enableServiceLinks" in problems(BOLT_PORT="tcp://10.0.0.1:7687")[0]


def test_the_password_is_never_shown() -> None:
    """Neither repr nor a problem carries the password."""
    settings = load(LEAST | {"MEMGRAPH_USER": "u", "MEMGRAPH_PASSWORD": "hunter2"})
    assert settings.memgraph_password == "hunter2"
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in "".join(problems(MEMGRAPH_PASSWORD="hunter2"))


def test_every_field_is_a_row_named_after_its_variable() -> None:
    """A field is its variable in small letters, with `_s` when it is in seconds."""
    for attribute in fields(Settings):
        name = VARIABLES[attribute.name].name
        assert attribute.name in (name.lower(), f"{name.lower()}_s")
        assert VARIABLES[attribute.name].meaning
