"""The documents of commands with ``--json``, as the JSON reference names them. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_SERVICE: Final = (
    "`installed`, `running`, `manager`, `at`, `user`, `name`, `pid`, `status`, `program`, `files`, `detail`, `problem` "
    "and `remedy`"
)
_WORKSPACE: Final = "`id`, `sources`, `bytes`, `quota`, `keep_versions`, `keep_days`"
_ISSUED: Final = "`id`, `workspace`, `user`, `machine`, `machine_id`, `created_at`, `expires_at`, `revoked_at`"

COMMAND_ANSWERS: Final[Mapping[str, str]] = {
    "up": "`@status`, one document a line at each change until Ctrl-C; with `--once` that of `@sync`",
    "status": "`@status`; with `--watch` one document a line at each change",
    "sync": "`@sync`",
    "ui": "`@ui`",
    "files": "`@files`",
    "explain": "`@explain`",
    "conflicts": "`@conflicts`",
    "diff": "`@diff`; of two versions `@compare`",
    "resolve": "`@resolve`",
    "drafts": "`@drafts`; of one conflict `@draft`, with `--file` `@draft_save`",
    "history": "the `versions` of `@history`",
    "restore": "`@restore`; with `--at` or `--undo` `@rewind`",
    "trash": "`@trash`; of `trash prune` `@trash_prune`",
    "activity": "`@activity`; with `-f` one entry a line; with `--by` `@activity_counts`, "
    "with `--bytes` too `@traffic`",
    "events": "`@events`; with `-f` one event a line",
    "rules": "`@rules`",
    "pause": "`@pause`",
    "resume": "`@resume`",
    "doctor": "`@doctor`, with `--drill` and `@drill` in it",
    "retry": "`@retry`",
    "logs": "`file` (null for the journal) and `lines`; with `-f` one object with `line` a line",
    "login": "`@login`",
    "join": "`@join`; with FOLDER and `@link` in it",
    "logout": "`@logout`",
    "servers": "`@servers`",
    "sources": "`@sources`; of `rename`, `archive` and `delete` `@change_source`",
    "devices": "`@devices`; of its subcommands `@change_device`",
    "link": "`@link`; with `--wait` and `@sync` in it",
    "unlink": "`@unlink`",
    "move": "`@move`",
    "hub serve": "`url` and `pid`, on one line once it listens",
    "hub invite": "`invite`, `join`, `expires_at`, `url`, `addresses`, `pin`, `workspace`, `login`, `token_command`, "
    "`only_here`",
    "hub token": "`token`",
    "hub tokens": f"list of objects with {_ISSUED}",
    "hub revoke": _ISSUED,
    "hub backup": "`file`, `bytes`, `with_secret`",
    "hub restore": "`file`, `restored` (the hub's folder), `embedded`",
    "hub migrate": "`changed`, and the schemas `before` and `schema`",
    "hub workspaces": f"list of objects with {_WORKSPACE}",
    "hub limit": _WORKSPACE,
    "hub prune": "list of objects with `id`, `versions`, `contents`, `bytes`: what was removed",
    "hub purge": "`removed`: false for a plan, the `sources` with `id`, `name`, `workspace`, `deleted_at` and "
    "`versions`, and the `contents` with their `bytes`",
    "stop": "`changed`, `pid` (null without an agent), and `notes`",
    "service install": f"{_SERVICE}, with `changed` and `notes`",
    "service uninstall": f"{_SERVICE}, with `changed`, `notes` and the `removed` files",
    "service start": f"{_SERVICE}, with `changed` and `notes`",
    "service stop": f"{_SERVICE}, with `changed` and `notes`",
    "service status": f"{_SERVICE}; `manager` is null where none could start it",
    "config get": "`@settings`; with NAME its row",
    "config set": "`name`, `value`, and `@reload`: the running agent's answer, or null",
    "config unset": "`name`, `changed`, `value`, and `@reload`: the running agent's answer, or null",
    "config path": "`path`, `system`, and the files that are `read`",
    "config check": "`ok`, `path`, and the files that were `read`",
    "config reload": "`@reload`",
}
"""Words about the document of each command. A word in backquotes is a field; with ``@``, the answer of a method."""
