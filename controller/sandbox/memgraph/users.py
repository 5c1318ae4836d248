"""Users: who may log on, by the environment or by CREATE USER.

Promise: without any user everybody is let in; with one, only who knows a user's password (a user
without a password is let in with any). Users are kept on this instance's disk, salted and hashed,
and never replicated (MEMGRAPH 2.1, 3.6e, 5). Whoever is in may do everything: privileges, which
need a licence, are not imitated.
"""

import hashlib
import hmac
import json
import os
from collections.abc import Mapping
from pathlib import Path

import attrs

from controller.sandbox.memgraph.durability.snapshots import write_atomically
from controller.sandbox.memgraph.failures import ClientFailure
from controller.sandbox.memgraph.statements import UserStatement

SCRYPT_COST = 2**8  # logging on must not be what a sandbox spends its time on
FORBIDDEN_ON_REPLICA = (
    "Query forbidden on the replica! Update on MAIN, as it is the only source of truth for "
    "authentication data. MAIN will then replicate the update to connected REPLICAs"
)


def user_of_environment(environment: Mapping[str, str]) -> tuple[str, str] | None:
    """Name and password from MEMGRAPH_USER and MEMGRAPH_PASSWORD, or from MEMGRAPH_PASSFILE.

    Raises:
        ValueError: the file is not there, or is not `name:password`.
    """
    name = environment.get("MEMGRAPH_USER")
    if name:
        return name, environment.get("MEMGRAPH_PASSWORD", "")
    path = environment.get("MEMGRAPH_PASSFILE")
    if not path:
        return None
    try:
        name, colon, password = Path(path).read_text().strip().partition(":")
    except OSError as problem:
        raise ValueError(f"cannot read MEMGRAPH_PASSFILE: {problem}") from problem
    if not colon:
        raise ValueError("MEMGRAPH_PASSFILE must hold name:password")
    return name, password


@attrs.frozen
class _Secret:
    """A password, as it is stored: hex of the salt and of the hash."""

    salt: str
    hash: str

    def fits(self, password: str) -> bool:
        return hmac.compare_digest(self.hash, _hashed(password, self.salt))


class Users:
    """All users of the instance; owned by it.

    Args:
        first: name and password that the environment asks for; they are set at every start.
    """

    def __init__(self, data_directory: Path, first: tuple[str, str] | None) -> None:
        self._path = data_directory / "auth.json"
        self._secrets: dict[str, _Secret | None] = {}
        if self._path.exists():
            for name, raw in json.loads(self._path.read_bytes()).items():
                self._secrets[name] = _Secret(**raw) if raw else None
        if first is not None:
            self._secrets[first[0]] = _secret_of(first[1])
            self._save()

    def accept(self, name: str, password: str) -> bool:
        """True when this user may log on."""
        if not self._secrets:
            return True
        if name not in self._secrets:
            return False
        secret = self._secrets[name]
        return secret is None or secret.fits(password)

    def names(self) -> list[str]:
        return list(self._secrets)

    def change(self, statement: UserStatement) -> None:
        """Do what the statement says, on the disk too.

        Raises:
            ClientFailure: the user is there already, or is not.
        """
        there = statement.name in self._secrets
        if statement.verb == "CREATE":
            if there and statement.lenient:
                return
            if there:
                raise ClientFailure(f"User '{statement.name}' already exists.")
        elif not there:
            raise ClientFailure(f"User '{statement.name}' doesn't exist.")
        if statement.verb == "DROP":
            del self._secrets[statement.name]
        else:
            password = statement.password
            self._secrets[statement.name] = None if password is None else _secret_of(password)
        self._save()

    def _save(self) -> None:
        raw = {n: None if s is None else attrs.asdict(s) for n, s in self._secrets.items()}
        write_atomically(self._path, (json.dumps(raw).encode(),))


def _secret_of(password: str) -> _Secret:
    salt = os.urandom(16).hex()
    return _Secret(salt, _hashed(password, salt))


def _hashed(password: str, salt: str) -> str:
    raw = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(raw, salt=bytes.fromhex(salt), n=SCRYPT_COST, r=8, p=1).hex()
