"""Pinakes' API on the same log as Raven's: devices, changes, report, uploads to a path, conflicts, sessions.

Paths, methods and statuses are known; every body is this project's choice, and `wire` has all of them.
Nothing here waits or knows HTTP libraries: `face.PinakesFace.handle` maps a request to a response.
Begin reading with `face.py`, then `report.py`.
"""
