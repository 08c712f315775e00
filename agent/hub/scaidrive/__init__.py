"""ScaiDrive's API on the same log as Raven's: devices, changes, apply, files, folders, uploads.

Nothing here waits or knows HTTP libraries: `face.DriveFace.handle` maps a request to a response.
Begin reading with `face.py`, then `applying.py`.
"""
