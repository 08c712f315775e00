"""Typed requests and answers of the control API. They are also the JSON that the commands print.

One module a group of methods, as in ``agent.api.methods``; begin with ``common.py``. ``docs/json.md`` is generated from
these classes by ``agent.api.reference``.
"""
