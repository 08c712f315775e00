"""The dashboard of ``raven-agent ui``: pages in a browser over the methods of the control API.

Begin with ``app.py`` (the routes and the order of the checks) and ``pages/`` (one module a page, with a template of the
same name). ``session.py`` and ``guard.py`` decide who may read a page; ``server.py`` is the listener.
"""
