"""Accounts and folders declared in configuration files: a pure plan, its application, and reloading.

Begin with ``plan.py`` (the decisions), then ``apply.py`` (the thread that carries them out).
"""
