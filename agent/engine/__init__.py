"""The engine of one source: a state machine over the index. Messages come in, effects go out.

Begin with ``engine.py`` (``step``) and ``planner.py`` (the order of the parts); ``messages.py`` and ``effects.py`` are
the interface. Each other module is one part; it decides, writes the index and asks for effects, and does no I/O.
"""
