"""Notifications of the last SUCCESS, and the long sentence about explicit transactions."""

from controller.sandbox.memgraph.failures import ClientFailure
from controller.sandbox.memgraph.statements import Schema


def notice(code: str, title: str, severity: str = "INFO") -> dict[str, str]:
    return {"severity": severity, "code": code, "title": title, "description": ""}


def schema_notice(statement: Schema, *, has_effect: bool) -> dict[str, str]:
    """What CREATE or DROP of an index or constraint did, or that there was nothing to do."""
    keys = ", ".join(statement.keys)
    verb = "Create" if statement.create else "Drop"
    if statement.kind == "index":
        what, kind = f"Index on label {statement.label} on properties {keys}", "Index"
        if not statement.keys:
            what = f"Index on label {statement.label}"
    else:
        sort = "UNIQUE" if statement.kind == "constraint" else "EXISTS"
        what = f"{sort} constraint on label {statement.label} on properties {keys}"
        kind = "Constraint"
    if has_effect:
        done = what[0].lower() + what[1:] if statement.kind == "index" else what
        return notice(f"{verb}{kind}", f"{verb}{'d' if statement.create else 'ped'} {done}.")
    if statement.kind != "index":
        what = f"Constraint {what.replace(' constraint', '', 1)}"
    if statement.create:
        return notice(f"{kind}AlreadyExists", f"{what} already exists.")
    return notice(f"{kind}DoesNotExist", f"{what} doesn't exist.")


PORT_WARNING = "Be careful the replication port must be different from the memgraph port!"
_EXPLICIT = (
    "{} is not allowed in multicommand transactions. A multicommand transaction, also known as an "
    "explicit transaction, groups multiple commands into a single atomic operation. Instead, "
    "please use an implicit transaction, also known as an auto committing transaction, in order to "
    "execute this particularquery. For more details, visit https://memgraph.com/docs"
)
_EXPLICIT_OLD = _EXPLICIT.replace("also known as an auto", "also knwon as an auto").replace(
    "particularquery", "particular query"
)


def explicit_refusal(what: str, release: tuple[int, int]) -> ClientFailure:
    """Why something cannot be part of an explicit transaction, typing errors included."""
    return ClientFailure((_EXPLICIT_OLD if release < (3, 12) else _EXPLICIT).format(what))
