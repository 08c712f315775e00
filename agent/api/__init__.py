"""Control API of the agent: its methods as typed requests and answers, served over HTTP on a private unix socket.

Begin with ``methods/__init__.py`` (every method by name) and ``schema/`` (the types). ``server.py`` is the socket,
``metrics.py`` the OpenMetrics text, ``host_guard.py`` keeps web pages out, ``reference.py`` writes ``docs/json.md``.
"""
