"""The pieces of a history, live part and archives, from a cluster or from files, as one chain.

Promise: files are what `kubectl get configmap -o yaml` (or json) prints, of one object or a list,
or the ledger's lines as /api/v1/ledger gives them; nothing else is taken for a history. What a
newcomer gets wrong: archives are read only when somebody asks for what is in them.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from attrs import evolve, field, frozen

from controller.cli.exits import NOT_FOUND, USAGE, Problem
from controller.cli.reading import Json, Release
from controller.kube import stored_ledger_of
from statemachine.chain import LIVE, Chain, Fault, place_of, read_chain
from statemachine.codec import key_of
from statemachine.seal import broken_seal

ARCHIVE = re.compile(r"(?P<ledger>.+-ledger)-(?P<number>\d{6,})")
SUFFIXES = (".yaml", ".yml", ".json", ".jsonl")


@frozen
class Pieces:
    """`data` of each piece, by number; LIVE for the live part. `name`: of the live ConfigMap."""

    name: str
    parts: Mapping[int, Mapping[str, str]]
    annotations: Mapping[str, str] = field(factory=dict, hash=False)

    def chain(self, since: int = 0) -> Chain:
        """Verified; see `read_chain`."""
        archives = {number: data for number, data in self.parts.items() if number != LIVE}
        return sealed(read_chain(self.parts.get(LIVE), archives, since), self.annotations)


def chain_of(release: Release, since: int = 0) -> Chain:
    """The history of a release from the entry after `since` on; archives are read if they are
    needed for that. Raises Problem."""
    stored = stored_ledger_of(release.ledger())
    alone = read_chain(stored.data, {}, since)
    if alone.first <= since + 1:
        return sealed(alone, stored.annotations)
    archives = number_of_each(release.archives())
    kept = {n: data for n, data in archives.items() if n != LIVE}
    return sealed(read_chain(stored.data, kept, since), stored.annotations)


def sealed(chain: Chain, annotations: Mapping[str, str]) -> Chain:
    """With one more fault if the last entry is not the one that was written last."""
    seq = chain.cluster.seq
    if chain.faults or not (why := broken_seal(seq, chain.head, annotations)):
        return chain
    return evolve(chain, faults=(Fault(seq, place_of(LIVE), why),))


def number_of_each(config_maps: Iterable[Json]) -> dict[int, Mapping[str, str]]:
    """Their `data`, by the number that the name ends in."""
    return {_number(_name(c)): stored_ledger_of(c).data for c in config_maps}


def _name(config_map: Json) -> str:
    return str((config_map.get("metadata") or {}).get("name") or "")


def _number(name: str) -> int:
    found = ARCHIVE.fullmatch(name)
    return int(found["number"]) if found else LIVE


def pieces_in(paths: Iterable[Path], release: str = "") -> Pieces:
    """What these files and directories hold.

    Raises:
        Problem: a file cannot be read, holds no ledger, or they hold several releases' and
            `release` does not say whose is meant.
    """
    found = [c for path in files_in(paths) for c in config_maps_in(path)]
    ledgers = {_ledger_of(_name(c)) for c in found} - {""}
    wanted = {f"{release}-ledger"} if release else ledgers
    if len(wanted) > 1:
        names = ", ".join(sorted(name.removesuffix("-ledger") for name in wanted))
        raise Problem(
            f"these files hold several releases, choose one with --release: {names}", USAGE
        )
    kept = [c for c in found if _ledger_of(_name(c)) in wanted]
    if not kept:
        raise Problem("these files hold no ledger", NOT_FOUND)
    live = next((c for c in kept if _number(_name(c)) == LIVE), {})
    annotations = stored_ledger_of(live).annotations if live else {}
    return Pieces(next(iter(wanted)), number_of_each(kept), annotations)


def _ledger_of(name: str) -> str:
    found = ARCHIVE.fullmatch(name)
    return found["ledger"] if found else name if name.endswith("-ledger") else ""


def files_in(paths: Iterable[Path]) -> Iterator[Path]:
    """The files, and those in the directories. Raises Problem for what is not there."""
    for path in paths:
        if path.is_dir():
            yield from sorted(p for p in path.iterdir() if p.suffix in SUFFIXES)
        elif path.is_file() or str(path) == "/dev/stdin":
            yield path
        else:
            raise Problem(f"{path} is not there", NOT_FOUND)


def config_maps_in(path: Path) -> Iterator[Json]:
    """The ConfigMaps of one file, or its lines as one. Raises Problem."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Problem(f"{path} cannot be read: {error}", NOT_FOUND) from error
    if text.startswith('{"seq":'):
        yield _from_lines(text, path)
        return
    try:
        for document in _documents(text):
            yield from _items(document)
    except (yaml.YAMLError, ValueError) as error:
        raise Problem(f"{path} is neither YAML nor JSON: {error}", USAGE) from error


def _documents(text: str) -> Iterator[Any]:
    if text.lstrip().startswith("{"):
        yield json.loads(text)
        return
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # an archive in 0.05 s, not in 1 s
    yield from yaml.load_all(text, Loader=loader)


def _items(document: Any) -> Iterator[Json]:
    if not isinstance(document, dict):
        return
    if isinstance(document.get("items"), list):
        for item in document["items"]:
            yield from _items(item)
    elif document.get("kind", "ConfigMap") == "ConfigMap":
        yield document


def _from_lines(text: str, path: Path) -> Json:
    data = {}
    for line in text.splitlines(keepends=True):
        try:
            seq = json.loads(line)["seq"]
            data[key_of(int(seq))] = line if line.endswith("\n") else line + "\n"
        except (ValueError, KeyError, TypeError) as error:
            raise Problem(
                f"{path}: a line is no entry of a ledger: {line[:60]!r}", USAGE
            ) from error
    return {"metadata": {"name": f"{path.stem}-ledger"}, "data": data}
