"""The demo: clients, faults, a book of every write, and a verdict.

Promise: the book is kept by the clients' own outcomes and compared with what stands on every
instance; what the controller believes is shown, and never counts.
"""
