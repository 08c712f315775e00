"""Pure decisions and the nouns every other package shares: no I/O, no clock, no randomness of its own.

Begin with ``model.py`` (sides, operations, outcomes) and ``reconcile.py`` (the decision for one path). Other modules
hold one decision each: conflicts, resolutions, operations in doubt, the delete guard, backoff, paths.
"""
