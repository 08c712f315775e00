"""The seam to the file system. All other code of ``agent.disk`` reaches files only through it.

Begin with ``protocol`` (the primitives). ``posix`` implements them on Linux and macOS; ``syscalls`` holds the calls
that Python does not wrap.
"""
