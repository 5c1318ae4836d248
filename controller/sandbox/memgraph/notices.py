"""Notifications of the last SUCCESS, and the long sentences about explicit transactions."""

from controller.sandbox.memgraph.statements import Schema


def notice(code: str, title: str, severity: str = "INFO") -> dict[str, str]:
    return {"severity": severity, "code": code, "title": title, "description": ""}


def schema_notice(statement: Schema) -> dict[str, str]:
    done = "Created" if statement.create else "Dropped"
    verb = "Create" if statement.create else "Drop"
    keys = ", ".join(statement.keys)
    if statement.kind == "index":
        on = f" on properties {keys}" if keys else ""
        return notice(f"{verb}Index", f"{done} index on label {statement.label}{on}.")
    title = f"{done} UNIQUE constraint on label {statement.label} on properties {keys}."
    return notice(f"{verb}Constraint", title)


PORT_WARNING = "Be careful the replication port must be different from the memgraph port!"
EXPLICIT = (
    "Managing replication is not allowed in multicommand transactions. A multicommand transaction, "
    "also known as an explicit transaction, groups multiple commands into a single atomic "
    "operation. Instead, please use an implicit transaction, also known as an auto committing "
    "transaction, in order to execute this particularquery. For more details, visit "
    "https://memgraph.com/docs"
)
EXPLICIT_OLD = EXPLICIT.replace("also known as an auto", "also knwon as an auto").replace(
    "particularquery", "particular query"
)
