"""What a person may set: one table of variables, read once at the start and never again.

Promise: a `Settings` that exists is sound: every value was understood, and every relation that
safety rests on holds. All problems are reported at once, each with the variable, its value and
what is wanted. What a newcomer gets wrong: defaults are written as a person would write them, and
are parsed as such; the class attributes are the table.
"""

# ruff: noqa: RUF009 - each field is a row of the table, made by attrs' own field()

import difflib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from attrs import Attribute, define, field, fields, frozen
from environs import Env, EnvValidationError

from controller.setting_relations import problems_between
from controller.setting_values import (
    Address,
    address,
    choice,
    duration_or_off_s,
    duration_or_zero_s,
    duration_s,
    integer,
    integer_or_off,
    keeping_or_off_s,
    name,
    one_of,
    plain,
    port,
    selector,
    size,
    size_or_off,
    switch,
)
from gateway import ProxyProtocol
from statemachine.ids import Durability, Instance, Mode
from statemachine.view import Policy

REQUIRED = ...  # as environs writes it: there is no default
TICK_S = 0.25  # the loop looks at the clock this often; an answer may be that much older

OUR_PREFIXES = ("LEDGER_", "GATEWAY_", "READ_GATEWAY_", "LEASE_", "PROBE_")
NOT_IN_THIS_VERSION = (
    "RECONCILE_INTERVAL",
    "PRESTOP_TIMEOUT",
)
"""Names that a person may know from elsewhere. Ignoring them in silence would be worse than to say
so: who sets PRESTOP_TIMEOUT here counts on it."""

SERVICE_LINK = re.compile(r".*_(SERVICE_HOST|SERVICE_PORT\w*|PORT(_\d+_(TCP|UDP)\w*)?)")
"""What the kubelet sets for each Service of the namespace, also for one called `gateway`."""


@define
class SettingsError(Exception):
    """The settings cannot be used; `problems` names each one. The process exits with 2."""

    problems: tuple[str, ...]

    def __str__(self) -> str:
        count = len(self.problems)
        head = f"{count} problem{'s' if count > 1 else ''} in the settings:"
        return "\n".join([head, *(f"  - {problem}" for problem in self.problems)])


@frozen
class Variable:
    """One row of the table."""

    name: str
    parse: Callable[[str], Any]
    default: str | Any
    meaning: str
    is_secret: bool


def setting(
    name: str, parse: Callable[[str], Any], default: str | Any, meaning: str, secret: bool = False
) -> Any:
    """A field of Settings that is read from the environment variable `name`."""
    variable = Variable(name, parse, default, meaning, secret)
    return field(metadata={"variable": variable}, repr=not secret)


@frozen(kw_only=True)
class Settings:
    """All settings of one controller pod. Durations in seconds; infinity is "off"."""

    app_name: str = setting("APP_NAME", name, "memgraph", "value of the pods' label `app`")
    namespace: str = setting("NAMESPACE", name, REQUIRED, "namespace of the release")
    release_name: str = setting("RELEASE_NAME", name, REQUIRED, "name that every object carries")
    statefulset_name: str = setting(
        "STATEFULSET_NAME", name, REQUIRED, "StatefulSet of Memgraph; its pods are the instances"
    )
    service_name: str = setting(
        "SERVICE_NAME", plain, "", "headless Service; empty: replicas are registered by pod IP"
    )
    pod_selector: str = setting(
        "POD_SELECTOR",
        selector,
        "",
        "labels of the instances' pods; empty: app.kubernetes.io/instance=RELEASE_NAME",
    )
    pod_name: str = setting("POD_NAME", name, REQUIRED, "name of this controller pod")
    pod_uid: str = setting("POD_UID", plain, REQUIRED, "UID of this controller pod")
    pod_ip: str = setting("POD_IP", plain, "", "IP address of this controller pod")
    kubeconfig: str = setting("KUBECONFIG", plain, "", "path; empty: the pod's service account")

    http_port: int = setting("HTTP_PORT", port, "8080", "port of status, health and metrics")
    http_bind_address: Address = setting(
        "HTTP_BIND_ADDRESS", address, "", "overrides 0.0.0.0:HTTP_PORT"
    )
    bolt_port: int = setting("BOLT_PORT", port, "7687", "Bolt port of the instances")
    replication_port: int = setting("REPLICATION_PORT", port, "10000", "of the instances")
    memgraph_user: str = setting("MEMGRAPH_USER", plain, "", "empty: no authentication")
    memgraph_password: str = setting("MEMGRAPH_PASSWORD", plain, "", "its password", secret=True)
    log_level: str = setting(
        "LOG_LEVEL", choice("debug", "info", "warning", "error"), "info", "least level shown"
    )
    log_format: str = setting("LOG_FORMAT", choice("json", "console"), "json", "one line each")
    kubernetes_events: bool = setting(
        "KUBERNETES_EVENTS", switch, "true", "what is decided is shown by `kubectl describe`"
    )
    network_policy_test_port: int | None = setting(
        "NETWORK_POLICY_TEST_PORT",
        integer_or_off(1, 65_535),
        "7444",
        "port of the instances that a NetworkPolicy forbids to all; tried once a minute",
    )

    gateway_enabled: bool = setting("GATEWAY_ENABLED", switch, "true", "read/write gateway")
    gateway_bind_address: Address = setting(
        "GATEWAY_BIND_ADDRESS", address, "0.0.0.0:7687", "where it listens"
    )
    read_gateway_enabled: bool = setting(
        "READ_GATEWAY_ENABLED", switch, "true", "read-only gateway"
    )
    gateway_read_bind_address: Address = setting(
        "GATEWAY_READ_BIND_ADDRESS", address, "0.0.0.0:7688", "where it listens"
    )
    gateway_max_connections: int = setting(
        "GATEWAY_MAX_CONNECTIONS", integer(1, 100_000), "1000", "clients of each gateway"
    )
    gateway_timeout_s: float = setting(
        "GATEWAY_TIMEOUT", duration_s, "30s", "longest time that a client is held"
    )
    gateway_connection_timeout_s: float = setting(
        "GATEWAY_CONNECTION_TIMEOUT", duration_s, "2s", "of one dial to an instance"
    )
    gateway_drain_timeout_s: float = setting(
        "GATEWAY_DRAIN_TIMEOUT", duration_or_zero_s, "20s", "a stopping pod's sessions may go on"
    )
    gateway_idle_timeout_s: float = setting(
        "GATEWAY_IDLE_TIMEOUT", duration_or_off_s, "off", "a session without a byte ends"
    )
    gateway_max_bytes_per_connection: int | None = setting(
        "GATEWAY_MAX_BYTES_PER_CONNECTION", size_or_off, "off", "a session ends above; 10Gi, 500M"
    )
    gateway_buffer_size: int = setting(
        "GATEWAY_BUFFER_SIZE",
        size(4096, 1 << 20),
        "1Mi",
        "most that the relay holds of one direction of a session; 4Ki to 1Mi",
    )
    gateway_workers: int = setting(
        "GATEWAY_WORKERS", integer(0, 16), "1", "relay processes; 0: within the controller"
    )
    gateway_session_log: bool = setting(
        "GATEWAY_SESSION_LOG", switch, "false", "a line for each client, at its end"
    )
    gateway_proxy_protocol: ProxyProtocol = setting(
        "GATEWAY_PROXY_PROTOCOL",
        one_of(ProxyProtocol),
        "off",
        "whether clients begin with a PROXY header",
    )
    gateway_tls_enabled: bool = setting(
        "GATEWAY_TLS_ENABLED", switch, "false", "clients speak TLS, 1.2 or later"
    )
    gateway_tls_cert_path: str = setting(
        "GATEWAY_TLS_CERT_PATH", plain, "", "PEM file, read again when it changes"
    )
    gateway_tls_key_path: str = setting("GATEWAY_TLS_KEY_PATH", plain, "", "its key, likewise")
    gateway_tls_client_ca_path: str = setting(
        "GATEWAY_TLS_CLIENT_CA_PATH", plain, "", "clients need a certificate of this authority"
    )
    memgraph_tls: str = setting(
        "MEMGRAPH_TLS", choice("off", "on", "verify"), "off", "instances speak TLS; verify: by CA"
    )
    memgraph_tls_ca_path: str = setting(
        "MEMGRAPH_TLS_CA_PATH", plain, "", "PEM file; empty: the system's authorities"
    )
    gateway_rate_limit_enabled: bool = setting(
        "GATEWAY_RATE_LIMIT_ENABLED", switch, "false", "new clients of one address are limited"
    )
    gateway_rate_limit_rps: int = setting(
        "GATEWAY_RATE_LIMIT_RPS", integer(1, 100_000), "100", "new clients a second, per address"
    )
    gateway_rate_limit_burst: int = setting(
        "GATEWAY_RATE_LIMIT_BURST", integer(1, 100_000), "200", "of them at once"
    )
    gateway_self_fence_s: float = setting(
        "GATEWAY_SELF_FENCE", duration_s, "4s", "without the ledger's head for so long, RW closes"
    )
    gateway_barrier_s: float = setting(
        "GATEWAY_BARRIER", duration_s, "5s", "a gateway silent for so long has closed itself"
    )
    read_fallback: str = setting(
        "READ_FALLBACK", choice("none", "main"), "none", "whether readers may go to the main"
    )
    read_max_lag: int | None = setting(
        "READ_MAX_LAG", integer_or_off(0, 10**9 - 1), "off", "storage timestamps behind the main"
    )

    durability: Durability = setting(
        "DURABILITY", one_of(Durability), "preferred", "without a second copy, writes go on or stop"
    )
    replication_mode: str = setting(
        "REPLICATION_MODE", choice("strict_sync", "sync"), "strict_sync", "of eligible replicas"
    )
    sync_eligible: int = setting(
        "SYNC_ELIGIBLE", integer(1, 9), "2", "instances 0..n-1 may be main or sync"
    )
    epoch_renewal: str = setting(
        "EPOCH_RENEWAL",
        choice("eager", "lazy", "off"),
        "eager",
        "renew the epoch once a sync came back, before a switchover only, or never",
    )
    auto_reset: str = setting(
        "AUTO_RESET",
        choice("off", "safe", "always", true="safe", false="off"),
        "safe",
        "rebuild a replica whose data are refused: only if no write can be missing, or always",
    )
    diverged_keep_s: float = setting(
        "DIVERGED_KEEP",
        keeping_or_off_s,
        "7d",
        "what a reset set aside is removed when it is older; off: a person removes it",
    )

    failover_cooldown_s: float = setting(
        "FAILOVER_COOLDOWN",
        duration_or_zero_s,
        "0s",
        "no second automatic failover sooner than this after the last one; 0s: no limit",
    )
    ledger_keep_archives: int | None = setting(
        "LEDGER_KEEP_ARCHIVES",
        integer_or_off(1, 100_000),
        "200",
        "archives of the ledger that are kept, of 128 events and about 100 KB each; off: all",
    )
    ledger_keep_days: int | None = setting(
        "LEDGER_KEEP_DAYS",
        integer_or_off(1, 36_500),
        "off",
        "an older archive goes when the next one is made; the newest is always kept",
    )
    observe_only: bool = setting(
        "OBSERVE_ONLY", switch, "false", "decisions are recorded, and nothing is done"
    )

    probe_interval_s: float = setting("PROBE_INTERVAL", duration_s, "250ms", "between two probes")
    probe_timeout_s: float = setting("PROBE_TIMEOUT", duration_s, "1s", "of one probe")
    main_grace_s: float = setting("MAIN_GRACE", duration_s, "2s", "a silent main is not yet lost")
    sync_grace_s: float = setting("SYNC_GRACE", duration_s, "3s", "an unready sync is not yet lost")
    lease_duration_s: float = setting(
        "LEASE_DURATION", duration_s, "5s", "until another may take the leader Lease"
    )
    lease_renew_deadline_s: float = setting(
        "LEASE_RENEW_DEADLINE", duration_s, "3500ms", "a leader that cannot renew stops acting"
    )
    lease_retry_s: float = setting("LEASE_RETRY", duration_s, "1s", "between two renewals")

    @property
    def mode(self) -> Mode:
        """REPLICATION_MODE as the state machine knows it."""
        return Mode(self.replication_mode)

    @property
    def eligible(self) -> tuple[Instance, ...]:
        """The instances that may become main or sync, in order of preference."""
        names = (f"{self.statefulset_name}-{i}" for i in range(self.sync_eligible))
        return tuple(Instance(n) for n in names)

    @property
    def replication_domain(self) -> str:
        """Where an instance's name resolves (`<instance>.<domain>`); "" = register by pod IP."""
        if not self.service_name:
            return ""
        return f"{self.service_name}.{self.namespace}.svc.cluster.local"

    @property
    def fresh_s(self) -> float:
        """An older answer is no evidence of life."""
        return self.probe_interval_s + self.probe_timeout_s + TICK_S

    def policy(self) -> Policy:
        """The part that decisions look at."""
        return Policy(
            eligible=self.eligible,
            durability=self.durability,
            mode=self.mode,
            replication_port=self.replication_port,
            replication_domain=self.replication_domain,
            main_grace_s=self.main_grace_s,
            sync_grace_s=self.sync_grace_s,
            fresh_s=self.fresh_s,
            gateway_barrier_s=self.gateway_barrier_s,
            renewal=self.epoch_renewal,
            reset=self.auto_reset,
            diverged_keep_s=self.diverged_keep_s,
            read_fallback_main=self.read_fallback == "main",
            cluster_name=self.release_name,
            failover_cooldown_s=self.failover_cooldown_s,
            observe_only=self.observe_only,
        )


def _rows() -> dict[str, Variable]:
    attributes: tuple[Attribute[Any], ...] = fields(Settings)
    return {a.name: a.metadata["variable"] for a in attributes}


VARIABLES: Mapping[str, Variable] = _rows()  # field of Settings -> its row


class _Environment(Env):
    """environs over a given mapping; an empty value counts as not set, as in most manifests."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        super().__init__(eager=False)
        self._given = environ

    def _get_value(self, env_key: str, default: Any) -> Any:
        return self._given.get(env_key) or default


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """The settings of this process, or of `environ`.

    Raises SettingsError with every problem.
    """
    environ = os.environ if environ is None else environ
    env = _Environment(environ)
    env.add_parser("setting", lambda text, row: row.parse(text))
    values = {
        attribute: env.setting(row.name, row.default, row=row)
        for attribute, row in VARIABLES.items()
        if row.name != "HTTP_BIND_ADDRESS" or environ.get(row.name)
    }
    values.setdefault("http_bind_address", Address("0.0.0.0", values["http_port"] or 0))
    problems = [*_unreadable(env, environ), *_unknown(environ)]
    problems += problems_between(values, frozenset(n for n in environ if environ[n]))
    if problems:
        raise SettingsError(tuple(problems))
    return Settings(**values)


def _unreadable(env: Env, environ: Mapping[str, str]) -> Iterator[str]:
    rows = {row.name: row for row in VARIABLES.values()}
    try:
        env.seal()
    except EnvValidationError as error:
        messages_of: Mapping[str, list[str]] = dict(error.error_messages)  # type: ignore[arg-type]
        for variable, messages in messages_of.items():
            row = rows[variable]
            if not environ.get(variable):
                yield f"{variable} is not set: {row.meaning}"
            else:
                shown = "..." if row.is_secret else repr(environ[variable])
                yield f"{variable}={shown}: {'; '.join(messages)}"


def _unknown(environ: Mapping[str, str]) -> Iterator[str]:
    known = [row.name for row in VARIABLES.values()]
    for variable in sorted(environ.keys() - set(known)):
        if SERVICE_LINK.fullmatch(variable):
            continue
        if variable in NOT_IN_THIS_VERSION and environ[variable]:
            yield f"{variable}={environ[variable]!r}: not a setting of this version: remove it"
        elif variable.startswith(OUR_PREFIXES):
            close = difflib.get_close_matches(variable, known, n=1)
            hint = f"did you mean {close[0]}?" if close else "remove it"
            yield f"{variable}: not a setting; {hint}"
