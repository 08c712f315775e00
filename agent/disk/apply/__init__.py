"""Changes to the linked folder: new files in, old files to the trash, and recovery after a crash.

Begin with ``install`` (a group of journalled intents). ``swap`` exchanges two files, ``moves`` renames one, ``staging``
names the files on their way, ``downloads`` holds large files as they arrive, ``recover`` finishes or undoes what a
crash interrupted, ``trash`` keeps every replaced byte.
"""
