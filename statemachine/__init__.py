"""Thinks. The pure core: what the cluster is, what may happen, and what is owed to the outside.

Promise: no I/O, no clock, no randomness, no logging, no await. The same inputs give the same
outputs for ever, so that a ledger of last year folds to the same cluster and a model check runs
the very code that decides in production. Imports attrs, transitions and the standard library only.
"""
