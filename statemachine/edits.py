"""A copy of a frozen value with some fields replaced: what every fold and observation makes.

Promise: as `attrs.evolve`, for values all of whose fields are given to `__init__` in their order;
it looks a class's fields up once and not at every copy, which is most of what a turn of the loop
costs otherwise. What a newcomer gets wrong: types are checked as those of `attrs.evolve`.
"""

from collections.abc import Callable
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from attrs import fields

if TYPE_CHECKING:
    from attrs import evolve as change
else:

    def change(value: Any, **edits: Any) -> Any:
        """The value with these fields replaced. Raises TypeError for one that it has not."""
        kind = type(value)
        read, places = _shape(kind)
        values = list(read(value))
        for name, edited in edits.items():
            if name not in places:
                raise TypeError(f"{kind.__name__} has no field {name}")
            values[places[name]] = edited
        return kind(*values)


@cache
def _shape(kind: Any) -> tuple[Callable[[Any], Any], dict[str | None, int]]:
    """How the fields of a class are read all at once, and where each stands."""
    of_class = fields(kind)
    given = [field.name for field in of_class if field.init and not field.kw_only]
    assert len(given) == len(of_class), f"{kind.__name__} is not made of its fields in order"
    read = attrgetter(*given) if len(given) > 1 else lambda value: (getattr(value, given[0]),)
    return read, {field.alias: place for place, field in enumerate(of_class)}


__all__ = ["change"]
