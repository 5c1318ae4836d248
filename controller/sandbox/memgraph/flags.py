"""Command line flags, in the forms that gflags takes: `--x v`, `--x=v`, bare `--x`.

Promise: an unknown flag is kept by name for the log and never stops the start (the real database
refuses it; the package's own flags of a StatefulSet must not break a stand-in).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

DEFAULTS: dict[str, str] = {
    "bolt_address": "0.0.0.0",
    "bolt_cert_file": "",
    "bolt_key_file": "",
    "bolt_port": "7687",
    "bolt_server_name_for_init": "Neo4j/v5.11.0 compatible graph database server - Memgraph",
    "data_directory": "mg_data",
    "data_recovery_on_startup": "true",
    "data_dir_lock_acquisition_timeout_sec": "30",
    "init_file": "",
    "log_file": "",
    "log_level": "WARNING",
    "management_port": "0",
    "query_execution_timeout_sec": "600",
    "replication_replica_check_frequency_sec": "1",
    "replication_restore_state_on_startup": "true",
    "storage_access_timeout_sec": "1",
    "storage_mode": "IN_MEMORY_TRANSACTIONAL",
    "storage_snapshot_interval_sec": "300",
    "storage_snapshot_on_exit": "true",  # as the package sets it, not the bare binary
    "storage_snapshot_retention_count": "3",
    "storage_wal_enabled": "true",
    "storage_wal_file_flush_every_n_tx": "100000",
    "telemetry_enabled": "false",
    "stand_in_control": "",
    "stand_in_false_divergence": "true",
    "stand_in_hosts": "",
    "stand_in_promotion_delay_ms": "0",
    "stand_in_version": "3.12.0",
}
_BOOLEANS = frozenset(name for name, value in DEFAULTS.items() if value in ("true", "false"))
_VARIABLES = {"MEMGRAPH_BOLT_PORT": "bolt_port"}
_TRUE = frozenset({"true", "1", "yes", "t", "y"})


@attrs.frozen
class Flags:
    """All flags after parsing; `unknown` are names only."""

    values: Mapping[str, str]
    unknown: tuple[str, ...]
    has_licence: bool = False  # only what SHOW REPLICAS says depends on it

    def text(self, name: str) -> str:
        return self.values[name]

    def number(self, name: str) -> int:
        """An integer flag.

        Raises:
            ValueError: it is no integer; the start ends with that sentence.
        """
        value = self.values[name]
        try:
            return int(value)
        except ValueError as problem:
            raise ValueError(
                f"illegal value '{value}' specified for int flag '{name}'"
            ) from problem

    def is_on(self, name: str) -> bool:
        return self.values[name].lower() in _TRUE

    def path(self, name: str) -> Path | None:
        return Path(self.values[name]) if self.values[name] else None

    @property
    def version(self) -> str:
        """The imitated version in three parts; 3.5 means 3.5.0."""
        parts = self.values["stand_in_version"].split(".")
        return ".".join([*parts, "0", "0"][:3])

    @property
    def release(self) -> tuple[int, int]:
        """Major and minor of the imitated version, such as (3, 12)."""
        major, minor, _ = self.version.split(".", 2)
        return int(major), int(minor)


def help_text() -> str:
    """What `--help` prints: every flag that does something, with its default."""
    lines = [
        "memgraph-stand-in: imitates Memgraph Community replication and Bolt; not the database.",
        "Flags are Memgraph's own (--x=v, --x v); others are accepted and named in the log.",
        "",
        *(f"  --{name.replace('_', '-')}={value}" for name, value in sorted(DEFAULTS.items())),
    ]
    return "\n".join(lines)


def parse_flags(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> Flags:
    """The flags of a command line; later ones win, and the environment over all."""
    environment = environment or {}
    values = dict(DEFAULTS)
    unknown: list[str] = []
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if not argument.startswith("-"):
            unknown.append(argument)
            continue
        name, has_value, value = argument.lstrip("-").partition("=")
        name = name.replace("-", "_")
        if not has_value:
            value = _separate_value(name, rest)
        if name in values:
            values[name] = value
        else:
            unknown.append(name)
    return Flags(
        {**values, **_from_environment(environment)},
        tuple(unknown),
        has_licence=bool(environment.get("MEMGRAPH_ENTERPRISE_LICENSE")),
    )


def _from_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Memgraph lets the environment win over its flags, where it knows a variable."""
    found = {name: environment.get(variable, "") for variable, name in _VARIABLES.items()}
    return {name: value for name, value in found.items() if value}


def _separate_value(name: str, rest: list[str]) -> str:
    """The value of a flag without `=`: the next word, except after a boolean."""
    follows = bool(rest) and not rest[0].startswith("-")
    if follows and (name not in _BOOLEANS or rest[0].lower() in ("true", "false")):
        return rest.pop(0)
    return "true"
