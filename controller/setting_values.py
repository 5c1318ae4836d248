"""How one setting is written: durations, addresses, ports, switches, names, choices.

Promise: a parser gives the value, or raises ValidationError with a sentence that says what is
wanted. What a newcomer gets wrong: the value itself is not in the sentence; the caller adds it,
or leaves it out for a secret.
"""

import math
import re
from collections.abc import Callable
from enum import Enum
from typing import TypeVar

from attrs import frozen
from environs import ValidationError

E = TypeVar("E", bound=Enum)

UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h))+")
PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
LABEL = re.compile(r"[A-Za-z0-9][-\w./]*=[A-Za-z0-9][-\w.]*")
NAME_MAX = 63  # a DNS label: names become labels, Lease names and host names
KEPT_MAX_DAYS = 36_500
DURATION_MAX_S = 24 * 3600.0  # longer is a typing error (or "off" is meant)


@frozen
class Address:
    """Where to listen: `host` is an IP address or a name, port 0 takes any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def clashes_with(self, other: "Address") -> bool:
        """Whether both cannot be listened on in one process."""
        if self.port == 0 or self.port != other.port:
            return False
        return self.host == other.host or bool({self.host, other.host} & {"0.0.0.0", "::", ""})


def duration_s(text: str) -> float:
    """Seconds of "250ms", "4s", "1m30s"; above zero, at most a day."""
    if not DURATION.fullmatch(text):
        raise ValidationError('wants a duration such as "250ms", "4s" or "1m30s"')
    total_s = sum(float(number) * UNITS_S[unit] for number, unit in PART.findall(text))
    if not 0 < total_s <= DURATION_MAX_S:
        raise ValidationError("wants a duration above 0 and of at most 24h")
    return total_s


def duration_or_zero_s(text: str) -> float:
    """As duration_s; zero is allowed."""
    return 0.0 if re.fullmatch(r"0+(ms|s|m|h)?", text) else duration_s(text)


def duration_or_off_s(text: str) -> float:
    """As duration_s; "off" is infinity."""
    return math.inf if text == "off" else duration_s(text)


def keeping_or_off_s(text: str) -> float:
    """Seconds of "7d", or of a duration: for what is kept; "off" is infinity."""
    days = re.fullmatch(r"(\d{1,5})d", text)
    if days is None:
        return duration_or_off_s(text)
    if not 0 < int(days[1]) <= KEPT_MAX_DAYS:
        raise ValidationError(f"wants at least 1d and at most {KEPT_MAX_DAYS}d")
    return int(days[1]) * 24 * 3600.0


def size_or_off(text: str) -> int | None:
    """Bytes of "10Gi", "500M", "1048576", in the units of Kubernetes; "off" is None."""
    if text == "off":
        return None
    found = re.fullmatch(r"(\d{1,15})(k|Ki|[MGT]i?|)", text)
    if not found or int(found[1]) == 0:
        raise ValidationError('wants a size such as "500M" or "10Gi", or "off"')
    unit = found[2]
    base = 1024 if unit.endswith("i") else 1000
    power = " KMGT".index(unit[0].upper() if unit else " ")
    return int(found[1]) * int(base**power)


def size(least: int, most: int) -> Callable[[str], int]:
    """Bytes, as size_or_off without the off."""

    def parse(text: str) -> int:
        found = size_or_off(text)
        if found is None or not least <= found <= most:
            raise ValidationError(f"wants a size from {least} to {most} bytes")
        return found

    return parse


def switch(text: str) -> bool:
    """True or false, in the spellings that manifests use."""
    known = {"true": True, "on": True, "1": True, "yes": True}
    known |= {"false": False, "off": False, "0": False, "no": False}
    if text.lower() not in known:
        raise ValidationError("wants true or false")
    return known[text.lower()]


def integer(least: int, most: int) -> Callable[[str], int]:
    """A parser of whole numbers within both limits."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"\d{1,9}", text) or not least <= int(text) <= most:
            raise ValidationError(f"wants a whole number from {least} to {most}")
        return int(text)

    return parse


def integer_or_off(least: int, most: int) -> Callable[[str], int | None]:
    """As integer; "off" is None."""
    parse = integer(least, most)
    return lambda text: None if text == "off" else parse(text)


def port(text: str) -> int:
    """A TCP port that can be dialled."""
    if text.startswith("tcp://"):
        raise ValidationError(
            "wants a port number; this value comes from a Service of that name in the namespace: "
            "set enableServiceLinks: false on the pod, or set the variable yourself"
        )
    return integer(1, 65535)(text)


def address(text: str) -> Address:
    """`host:port`, `[v6]:port`; port 0 means any free one."""
    found = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([^:\[\]\s]+)):(\d{1,5})", text)
    if not found or int(found[3]) > 65535:
        raise ValidationError('wants an address such as "0.0.0.0:7687"')
    return Address(found[1] or found[2], int(found[3]))


def name(text: str) -> str:
    """A Kubernetes object name that is a DNS label too."""
    if len(text) > NAME_MAX or not NAME.fullmatch(text):
        raise ValidationError(
            f'wants a Kubernetes name: at most {NAME_MAX} of "a-z", "0-9" and "-" between them'
        )
    return text


def selector(text: str) -> str:
    """Labels that an object must have: `key=value`, with commas between them."""
    if text and not all(LABEL.fullmatch(part) for part in text.split(",")):
        raise ValidationError('wants labels such as "app=memgraph" or "app=memgraph,tier=data"')
    return text


def plain(text: str) -> str:
    """Any text."""
    return text


def one_of(kind: type[E]) -> Callable[[str], E]:
    """A parser of the values of an enum, in small letters as documented."""

    def parse(text: str) -> E:
        try:
            return kind(text)
        except ValueError:
            wanted = " or ".join(str(member.value) for member in kind)
            raise ValidationError(f"wants {wanted}") from None

    return parse


def choice(*values: str, **synonyms: str) -> Callable[[str], str]:
    """A parser that accepts exactly these words, and other words for them."""

    def parse(text: str) -> str:
        word = synonyms.get(text, text)
        if word not in values:
            raise ValidationError(f"wants {' or '.join(values)}")
        return word

    return parse
