"""JSON over HTTP to one server: client, transport with deadlines, bounded decoding, and the map of failures.

Begin with ``client.py``; ``failures.py`` lists every way a call can fail.
"""
