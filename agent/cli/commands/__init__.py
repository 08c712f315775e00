"""The commands, one file a group. ``agent.cli.main`` imports a file only when one of its commands runs.

A command's body takes an ``App`` and returns an ``ExitCode``. Begin with ``sync.py`` for the usual form.
"""
