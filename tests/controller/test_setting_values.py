"""How one setting is written."""

import math
from collections.abc import Callable

import pytest
from environs import ValidationError

from controller import setting_values as v
from statemachine.ids import Durability


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("4s", 4.0), ("1m30s", 90.0), ("1.5h", 5400.0), ("24h", 86400.0)],
)
def test_durations_are_understood(text: str, seconds: float) -> None:
    """A duration is numbers with units, added up, in seconds."""
    assert v.duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (v.duration_s, "5"),
        (v.duration_s, "0s"),
        (v.duration_s, "-1s"),
        (v.duration_s, "25h"),
        (v.duration_s, "1s foo"),
        (v.duration_s, "off"),
        (v.keeping_or_off_s, "0d"),
        (v.keeping_or_off_s, "40000d"),
        (v.keeping_or_off_s, "for ever"),
        (v.switch, "maybe"),
        (v.integer(1, 9), "10"),
        (v.integer(1, 9), "1_0"),
        (v.port, "0"),
        (v.port, "65536"),
        (v.address, "7687"),
        (v.address, "0.0.0.0:65536"),
        (v.address, "::1:80"),
        (v.name, "Upper"),
        (v.name, "a" * 64),
        (v.name, "-a"),
        (v.one_of(Durability), "REQUIRED"),
        (v.choice("json", "console"), "xml"),
        (v.selector, "app"),
        (v.selector, "app=a,"),
        (v.selector, "app in (a)"),
    ],
)
def test_what_is_not_understood_says_what_is_wanted(
    parse: Callable[[str], object], text: str
) -> None:
    """Each refusal is a sentence that begins with `wants`."""
    with pytest.raises(ValidationError, match=r"^wants "):
        parse(text)


def test_the_plain_values() -> None:
    """Each parser gives the value that the code works with."""
    assert v.switch("Yes") is True
    assert v.selector("app.kubernetes.io/instance=mg,app=memgraph").endswith("app=memgraph")
    assert v.switch("off") is False
    assert math.isinf(v.duration_or_off_s("off"))
    assert v.duration_or_off_s("2s") == 2.0
    assert v.keeping_or_off_s("7d") == 7 * 86_400.0
    assert v.keeping_or_off_s("12h") == 43_200.0
    assert math.isinf(v.keeping_or_off_s("off"))
    assert v.integer(1, 9)("9") == 9
    assert v.address("[::1]:80") == v.Address("::1", 80)
    assert str(v.Address("::1", 80)) == "[::1]:80"
    assert v.one_of(Durability)("required") is Durability.REQUIRED
    assert v.choice("off", "safe", true="safe")("true") == "safe"
    assert v.plain("x y") == "x y"
    assert v.name("memgraph-0") == "memgraph-0"


def test_addresses_clash_when_one_process_cannot_listen_on_both() -> None:
    """A wildcard clashes with every host on its port; port 0 with nobody."""
    everywhere, here = v.Address("0.0.0.0", 80), v.Address("127.0.0.1", 80)
    assert everywhere.clashes_with(here)
    assert not here.clashes_with(v.Address("127.0.0.2", 80))
    assert not here.clashes_with(v.Address("127.0.0.1", 81))
    assert not v.Address("0.0.0.0", 0).clashes_with(v.Address("0.0.0.0", 0))
