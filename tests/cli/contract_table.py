"""The commands, arguments and flags that users and scripts rely on, as data.

What stands here may only grow. ``-h``, ``-v`` and ``-q`` belong to every command and are not repeated.
"""

from __future__ import annotations

from typing import Final

COMMANDS: Final[dict[str, tuple[str, ...]]] = {
    "up": ("FOLDER", "--server", "--include", "--port", "--once", "--yes", "--json"),
    "login": ("URL", "--workspace", "--name", "--token-stdin", "--token-file", "--insecure-http", "--json"),
    "logout": ("NAME", "--json"),
    "servers": ("--json",),
    "link": (
        "FOLDER",
        "--server",
        "--name",
        "--mode",
        "--include",
        "--exclude",
        "--source",
        "--dry-run",
        "--yes",
        "--wait",
        "--json",
    ),
    "unlink": ("FOLDER", "--yes", "--json"),
    "move": ("OLD", "NEW", "--json"),
    "rules": ("FOLDER", "--include", "--exclude", "--remove", "--dry-run", "--json"),
    "sources": ("--server", "--json"),
    "run": (),
    "sync": ("FOLDER", "--dry-run", "--approve-deletes", "--undo-deletes", "--conflicts-ok", "--json"),
    "status": ("FOLDER", "--watch", "--check", "--max-age", "--json"),
    "files": ("FOLDER", "--state", "--limit", "--after", "--json"),
    "explain": ("PATH", "--json"),
    "retry": ("PATH", "--json"),
    "conflicts": ("FOLDER", "--limit", "--after", "--json"),
    "diff": ("ID", "--json"),
    "resolve": ("ID", "CHOICE", "--path", "--all", "--file", "--edit", "--proposed", "--dry-run", "--json"),
    "history": ("PATH", "--limit", "--after", "--json"),
    "restore": ("PATH", "--version", "--trash", "--to", "--json"),
    "trash": ("FOLDER|prune", "--limit", "--after", "--json"),
    "pause": ("FOLDER", "--for", "--everywhere", "--json"),
    "resume": ("FOLDER", "--everywhere", "--json"),
    "activity": ("FOLDER", "-f", "--limit", "--after", "--json"),
    "logs": ("-f", "--json"),
    "doctor": ("--bundle", "--json"),
    "config get": ("NAME", "--json"),
    "config set": ("NAME", "VALUE", "--json"),
    "config edit": (),
    "config path": ("--json",),
    "config check": ("--json",),
    "config reload": ("--json",),
    "hub serve": ("--listen", "--data", "--database", "--tls-cert", "--tls-key", "--behind-proxy", "--json"),
    "hub token": ("--workspace", "--user", "--data", "--days"),
    "hub invite": ("--json",),
    "hub backup": ("FILE", "--json"),
    "completion": ("bash", "zsh", "fish"),
}
