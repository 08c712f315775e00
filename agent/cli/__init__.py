"""Command line: click commands that call the control API and show its documents.

Begin with ``main.py`` (every command and every error) and ``command.py`` (shared options). ``commands/`` has one file a
group; ``render/`` and ``confirmations.py`` are the forms for people; ``exit_codes.py`` is the only table of codes.
"""
