"""The machinery that runs engines: threads, timers, sessions with servers, the linked folders and the home's lock.

Begin with ``agent.py`` (what one home holds), then ``source_runner.py`` (one engine and its effects).
"""
