"""Raven's local-sync protocol: decoding, validation, one function an endpoint, wire format.

Nothing here waits or knows HTTP libraries: `endpoints.Hub.handle` maps a request to a response.
Begin reading with `endpoints.py`.
"""
