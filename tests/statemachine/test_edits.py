"""A copy with some fields replaced is what attrs would make of it."""

import attrs
import pytest
from attrs import evolve, field, frozen

from statemachine.cluster import Cluster
from statemachine.edits import change
from statemachine.ids import Instance, Seq
from statemachine.view import InstanceView


@frozen
class One:
    """A single field, whose name differs from its argument's."""

    _hidden: int = field(converter=int)


@frozen
class Told:
    """Fields that are told by name alone."""

    name: str = field(kw_only=True)


def test_what_attrs_would_make() -> None:
    """Replaced is what was named, everything else is as it was; the value itself too."""
    cluster, seen = Cluster(), InstanceView(Instance("a"))
    edits = {"seq": Seq(4), "main": Instance("a")}
    assert change(cluster, **edits) == evolve(cluster, **edits)
    assert change(seen, failure_text="x") == evolve(seen, failure_text="x")
    assert change(cluster) == cluster == Cluster()


def test_a_field_that_is_not_there() -> None:
    """A misspelt one is an error, as it is for attrs."""
    edits = {"no_such": 1}
    with pytest.raises(TypeError, match="no field no_such"):
        change(Cluster(), **edits)


def test_what_it_cannot_copy() -> None:
    """A class whose fields do not all stand in order is refused at its first copy."""
    with pytest.raises(AssertionError, match="in order"):
        change(Told(name="x"))


def test_a_single_field() -> None:
    """Converters run as they do for attrs; arguments carry their names without an underscore."""
    assert change(One(1), hidden="2") == One(2)
    assert attrs.astuple(change(One(1))) == (1,)
