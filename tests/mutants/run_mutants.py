"""Plants one fault after the other into a copy of the product, and tells who notices.

`--record` puts what was found into found.json, from which docs/mutants.md is made.
"""

import argparse
import tempfile
from pathlib import Path

from hunting import LAYERS, Found, hunt
from planted import MUTANTS
from planting import Mutant, copy_of_product
from recorded import read_found, write_found, write_page


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


def main() -> int:
    """Exit code 1 when a fault was caught by nobody."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("names", nargs="*", help="only faults whose name contains one of these")
    parser.add_argument("--list", action="store_true", help="show them and do nothing")
    parser.add_argument("--layers", nargs="+", choices=LAYERS, default=list(LAYERS))
    parser.add_argument("--record", action="store_true", help="into found.json and docs/mutants.md")
    parser.add_argument("--missing", action="store_true", help="only those not recorded as caught")
    options = parser.parse_args()
    chosen = [m for m in MUTANTS if not options.names or any(n in m.name for n in options.names)]
    if not chosen:
        parser.error(f"no planted fault has {' or '.join(options.names)} in its name; see --list")
    if options.missing:
        caught = {found.mutant for found in read_found() if found.layer}
        chosen = [m for m in chosen if m.name not in caught]
    if options.list:
        for mutant in chosen:
            print(f"{mutant.rule:12} {mutant.path:40} {mutant.name}")
        return 0
    results = hunt_all(chosen, options.layers, options.record)
    if options.record:
        write_page()
    missed = [f.mutant for f in results if not f.layer]
    print(f"{len(results) - len(missed)} of {len(results)} planted faults were caught")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
