"""Observation of the synced folder: one path or all of it, compared with what the index remembers.

Begin with ``observe`` (one path), then ``walk`` (the whole folder). ``digest`` reads and hashes one file,
``parent_cache`` keeps the last parent folder open between paths.
"""
