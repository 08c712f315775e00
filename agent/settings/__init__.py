"""Files and environment that configure one agent: settings, declared accounts and folders, links, tokens.

Begin with ``home.py`` (every path) and ``settings.py`` (every setting with its default, unit and limits).
``config_file.py`` reads and writes ``config.toml``; ``links.py`` holds the records of ``registry.json``.
"""
