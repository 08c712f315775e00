"""The long-running process: foreground, reports to the service manager, desktop alerts, automatic merges.

Begin with ``foreground.py``, which composes the others.
"""
