"""Change notifications of one folder: which paths may have changed, and when to scan all of it.

Begin with ``events`` (the nouns), then ``watcher`` (the entry point). ``inotify`` and ``fsevents`` are its backends.
A notification proves nothing: it only names what ``agent.disk.scan`` must observe again.
"""
