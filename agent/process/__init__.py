"""Processes: the command that starts this program again, the environment of children, an idle web server.

Begin with ``relaunch``. ``environment`` keeps tokens out of child processes; ``idle_server`` is uvicorn without
periodic wake-ups.
"""
