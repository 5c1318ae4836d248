"""Plants one fault after the other into a copy of the product, and tells who notices.

`--record` puts what was found into found.json, from which docs/mutants.md is made. `--again` asks
for each only the check that stands there: minutes instead of hours, for a version that is new.
"""

import argparse
import tempfile
import time
from pathlib import Path

from hunting import LAYERS, TESTS_FAILED, Found, ask_again, command_for, hunt, passes_without
from planted import MUTANTS
from planting import Mutant, copy_of_product
from quick_pytest import warm_up
from recorded import read_found, write_found, write_page

CAUGHT_AGAIN = "caught"


def told(found: Found) -> str:
    """One line for people."""
    by = f"{found.layer}: {found.check}" if found.layer else f"NOBODY {found.note}"
    return f"{found.rule:12} {found.mutant:50} {found.seconds:6.1f} s  {by[:220]}"


def hunt_all(chosen: list[Mutant], layers: list[str], is_recorded: bool) -> list[Found]:
    """Each fault in turn; what was found is kept after each, for a long run may be ended."""
    results = []
    with tempfile.TemporaryDirectory(prefix="mutant") as directory:
        tree = copy_of_product(Path(directory))
        for mutant in chosen:
            found = hunt(mutant, tree, layers)
            results.append(found)
            print(told(found), flush=True)
            if is_recorded:
                write_found([*read_found(), found])
    return results


def ask_all_again(chosen: list[Mutant]) -> list[str]:
    """The names of those that the check on record, or one of the nearest, does not catch now, or
    that it would catch without the fault, too."""
    warm_up()
    on_record = {found.mutant: found for found in read_found() if found.layer}
    missed = []
    with tempfile.TemporaryDirectory(prefix="mutant") as directory:
        tree = copy_of_product(Path(directory))
        for mutant in chosen:
            began_s, known = time.monotonic(), on_record.get(mutant.name)
            verdict = "is not on record" if known is None else _asked_again(known, mutant, tree)
            if verdict != CAUGHT_AGAIN:
                missed.append(mutant.name)
            took_s = time.monotonic() - began_s
            print(f"{mutant.rule:12} {mutant.name:50} {took_s:6.1f} s  {verdict}", flush=True)
    return missed


def _asked_again(known: Found, mutant: Mutant, tree: Path) -> str:
    code, said = ask_again(known, mutant, tree, forks=True)
    if code != TESTS_FAILED:
        return f"NOT CAUGHT ({code}): {said[-200:]}"
    caught_by = said.split(" - ")[0].strip() if known.layer != "simulation" else known.check
    if not passes_without(command_for(caught_by, known.layer), tree):
        return f"NOT CAUGHT: fails without the fault, too: {caught_by}"
    return CAUGHT_AGAIN


def main() -> int:
    """Exit code 1 when a fault was caught by nobody."""
    options, chosen = asked_for()
    if options.list:
        for mutant in chosen:
            print(f"{mutant.rule:12} {mutant.path:40} {mutant.name}")
        return 0
    if options.again:
        missed = ask_all_again(chosen)
    else:
        results = hunt_all(chosen, options.layers, options.record)
        missed = [f.mutant for f in results if not f.layer]
    if options.record:
        write_page()
    print(f"{len(chosen) - len(missed)} of {len(chosen)} planted faults were caught")
    return 1 if missed else 0


def asked_for() -> tuple[argparse.Namespace, list[Mutant]]:
    """The words of the command line, and the faults that they name."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("names", nargs="*", help="only faults whose name contains one of these")
    parser.add_argument("--list", action="store_true", help="show them and do nothing")
    parser.add_argument("--layers", nargs="+", choices=LAYERS, default=list(LAYERS))
    parser.add_argument("--record", action="store_true", help="into found.json and docs/mutants.md")
    parser.add_argument("--missing", action="store_true", help="only those not recorded as caught")
    parser.add_argument("--again", action="store_true", help="only the check that is on record")
    options = parser.parse_args()
    if options.again and options.record:
        parser.error("--again records nothing: it asks what is on record")
    chosen = [m for m in MUTANTS if not options.names or any(n in m.name for n in options.names)]
    if not chosen:
        parser.error(f"no planted fault has {' or '.join(options.names)} in its name; see --list")
    if options.missing:
        caught = {found.mutant for found in read_found() if found.layer}
        chosen = [m for m in chosen if m.name not in caught]
    return options, chosen


if __name__ == "__main__":
    raise SystemExit(main())
