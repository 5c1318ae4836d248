"""The planted faults: each a small change to the product that must turn something red.

Promise: every one of them is a mistake that somebody could make (most were made, here or in the
earlier controller), and each names the rule that it breaks. `old` stands exactly once in its file;
a test keeps that true.
"""

from planted_adapters import ADAPTERS
from planted_commands import COMMANDS
from planted_fencing import FENCING
from planted_gateways import GATEWAYS
from planted_ledger import LEDGER
from planted_losing import LOSING
from planting import Mutant

MUTANTS: tuple[Mutant, ...] = (*FENCING, *GATEWAYS, *COMMANDS, *LOSING, *LEDGER, *ADAPTERS)
