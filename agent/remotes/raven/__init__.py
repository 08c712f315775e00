"""The Raven dialect: requests, the feed, push batches and responses of the local-sync API.

Begin with ``adapter.py``; ``wire.py`` holds the checks of single rows.
"""
