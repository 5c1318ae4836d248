"""Raw objects of the API -> the values of the walls, and our own objects -> raw ones.

Promise: a missing or odd field never raises; it becomes the value that claims least. What a
newcomer gets wrong: a gateway Lease that cannot be understood counts as open and unacknowledged,
never as closed.
"""

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from controller.ports import StoredArchive, StoredLedger
from statemachine.ids import Seq, Term
from statemachine.observations import Container, GatewayFacts, PodFacts

from .names import DATABASE_CONTAINER, KubeNames
from .transport import Json

_PREFIX = "memgraph-controller/"
ACKED_SEQ, RW_OPEN, TERM = _PREFIX + "acked-seq", _PREFIX + "rw-open", _PREFIX + "term"
SESSIONS, VANTAGE = _PREFIX + "sessions", _PREFIX + "vantage"
LEDGER_FORMAT, EARLIER_SEQ = _PREFIX + "ledger-format", _PREFIX + "earlier-seq"


def mapping(value: Any) -> Json:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: Any) -> list[Json]:
    """The objects in a list; [] for anything else."""
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def text(value: Any) -> str:
    """The value if it is a string, else ""."""
    return value if isinstance(value, str) else ""


def texts(value: Any) -> dict[str, str]:
    """The string entries of an object."""
    return {key: entry for key, entry in mapping(value).items() if isinstance(entry, str)}


def number(value: Any) -> int:
    """A count, given as a number or as decimal digits; 0 for anything else."""
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def metadata(obj: Json) -> Json:
    """The object's metadata."""
    return mapping(obj.get("metadata"))


def name_of(obj: Json) -> str:
    """The object's name."""
    return text(metadata(obj).get("name"))


def version_of(obj: Json) -> str:
    """The object's resourceVersion: opaque, compared only for equality."""
    return text(metadata(obj).get("resourceVersion"))


def pod_facts_of(pod: Json) -> PodFacts:
    """What we want to know of a pod."""
    meta, status = metadata(pod), mapping(pod.get("status"))
    container = _database_container(items(status.get("containerStatuses")))
    return PodFacts(
        name=text(meta.get("name")),
        uid=text(meta.get("uid")),
        ip=text(status.get("podIP")),
        ready=any(
            c.get("type") == "Ready" and c.get("status") == "True"
            for c in items(status.get("conditions"))
        ),
        deleting=bool(meta.get("deletionTimestamp")),
        container=_container_state(container),
        restarts=number(container.get("restartCount")),
        node=text(mapping(pod.get("spec")).get("nodeName")),
    )


def _database_container(statuses: list[Json]) -> Json:
    named = [s for s in statuses if s.get("name") == DATABASE_CONTAINER]
    return (named or statuses or [{}])[0]


def _container_state(container: Json) -> Container:
    state = mapping(container.get("state"))
    for known in (Container.RUNNING, Container.WAITING, Container.TERMINATED):
        if known.value in state:
            return known
    return Container.UNKNOWN


def stored_ledger_of(config_map: Json) -> StoredLedger:
    """The ledger as it stands in its ConfigMap; checking it is the reader's business."""
    meta = metadata(config_map)
    return StoredLedger(
        uid=text(meta.get("uid")),
        resource_version=version_of(config_map),
        data=texts(config_map.get("data")),
        annotations=texts(meta.get("annotations")),
    )


def stored_archive_of(config_map: Json) -> StoredArchive:
    """An archive as it stands in its ConfigMap; an odd time of creation counts as now."""
    try:
        made = datetime.fromisoformat(text(metadata(config_map).get("creationTimestamp")))
        created_s = made.timestamp()
    except ValueError:
        created_s = math.inf
    return StoredArchive(texts(config_map.get("data")), created_s)


def gateway_facts_of(names: KubeNames, lease: Json) -> GatewayFacts:
    """What a gateway Lease says. What cannot be read counts as unacknowledged and open."""
    notes = texts(metadata(lease).get("annotations"))
    return GatewayFacts(
        pod=name_of(lease).removeprefix(names.gateway_lease_prefix),
        stamp=version_of(lease),
        acked_seq=Seq(number(notes.get(ACKED_SEQ))),
        rw_open=notes.get(RW_OPEN) != "false",
        term=Term(number(notes.get(TERM))),
        sessions=number(notes.get(SESSIONS)),
        vantage=_vantage(notes.get(VANTAGE, "")),
        ledger_format=number(notes.get(LEDGER_FORMAT)) or 1,
        earlier_seq=Seq(number(notes.get(EARLIER_SEQ))),
    )


def _vantage(given: str) -> Mapping[str, str]:
    try:
        return texts(json.loads(given or "{}"))
    except ValueError:
        return {}


def gateway_notes(facts: GatewayFacts) -> dict[str, str]:
    """The annotations from which `gateway_facts_of` reads the facts back."""
    return {
        ACKED_SEQ: str(facts.acked_seq),
        RW_OPEN: "true" if facts.rw_open else "false",
        TERM: str(facts.term),
        SESSIONS: str(facts.sessions),
        VANTAGE: json.dumps(dict(facts.vantage), separators=(",", ":"), sort_keys=True),
        LEDGER_FORMAT: str(facts.ledger_format),
        EARLIER_SEQ: str(facts.earlier_seq),
    }


def micro_time(at: datetime) -> str:
    """The time as a Lease wants it: UTC, exactly six digits. For people; nobody decides by it."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def utc_now() -> datetime:
    """Wall time, for people only."""
    return datetime.now(UTC)
