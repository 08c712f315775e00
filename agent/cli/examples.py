"""Two or more examples of each command, shown at the end of its help and in its man page.

Each is a line that can be typed, and its purpose. A test checks that the commands and flags exist.
"""

from __future__ import annotations

from typing import Final

Example = tuple[str, str]

EXAMPLES: Final[dict[str, tuple[Example, ...]]] = {
    "up": (
        ("up ~/notes", "sync a folder with the hub on this machine, until Ctrl-C"),
        ("up ~/notes --once", "sync it once and come back"),
        ("up ~/papers --include '**/*.tex'", "also sync the LaTeX files"),
    ),
    "login": (
        ("login https://raven.example --workspace 5f0c", "ask for the token, check it and store the account"),
        ("login https://raven.example --workspace 5f0c --token-stdin < token", "read the token from a pipe"),
    ),
    "join": (
        ("join raven1_... ~/notes", "take an invite, and sync a folder with that hub"),
        ("join raven1_... --name office", "take it only, and link folders later"),
    ),
    "logout": (
        ("logout work", "forget the account and its token"),
        ("logout work --json", "the same for a script"),
    ),
    "servers": (("servers", "list the accounts"), ("servers --json", "the same for a script")),
    "link": (
        ("link ~/notes --dry-run", "show what a link would do"),
        ("link ~/notes --source notes", "join a source that another machine made"),
        ("link ~/notes --mode import_only --exclude 'drafts/**'", "send edits only, and leave the drafts out"),
    ),
    "unlink": (
        ("unlink ~/notes", "stop syncing it; no file is deleted"),
        ("unlink ~/notes --dry-run", "see what stays, and what has not been sent"),
        ("unlink ~/notes --yes", "the same without a question"),
    ),
    "move": (
        ("move ~/notes ~/Documents/notes", "the folder was moved, and is the same"),
        ("move ~/notes /mnt/data/notes --json", "the same for a script"),
    ),
    "rules": (
        ("rules ~/notes", "show the patterns"),
        ("rules ~/notes --include '**/*.org' --dry-run", "show what one more pattern would change"),
        ("rules ~/notes --only '**/*.md'", "sync Markdown files and nothing else"),
        ("rules ~/notes --no-folder archive", "leave a folder of the server out on this machine"),
    ),
    "sources": (
        ("sources", "list them on every account"),
        ("sources rename notes field-notes", "rename one, for all machines"),
        ("sources archive 5f0c", "keep it readable, and take no more edits"),
        ("sources delete 5f0c --yes", "delete it on the server; files on disks stay"),
    ),
    "devices": (
        ("devices", "list the machines that a ScaiDrive or Pinakes server knows"),
        ("devices rename old-laptop laptop", "give one another name there"),
        ("devices delete 5f0c --yes", "delete one that is no longer used; files on disks stay"),
    ),
    "run": (("run", "run without a view, as the service does"), ("run -v", "with the program's own log")),
    "stop": (
        ("stop", "end the agent that `run &` or another terminal started"),
        ("stop --json", "the same for a script"),
    ),
    "sync": (
        ("sync", "make one pass over all folders"),
        ("sync ~/notes --dry-run", "show what a pass would do"),
        ("sync ~/notes --undo-deletes", "bring back the files of held deletes"),
    ),
    "status": (
        ("status", "one line for each folder"),
        ("status --watch", "keep showing it"),
        ("status ~/notes --machines", "also show which machine is behind"),
        ("status --check --max-age 1h", "end with an error unless all was synced within the hour"),
    ),
    "files": (
        ("files ~/notes", "list its files and their states"),
        ("files --state skipped", "list what is not synced, with reasons"),
    ),
    "explain": (
        ("explain ~/notes/paper.md", "show the rule that decides"),
        ("explain ~/notes/paper.md --json", "the same for a script"),
    ),
    "retry": (("retry", "try all failed files now"), ("retry ~/notes/big.md", "try one file now")),
    "conflicts": (
        ("conflicts", "list the conflicts of all folders"),
        ("conflicts ~/notes --json", "those of one folder, for a script"),
    ),
    "diff": (
        ("diff 3", "show conflict 3 as a diff"),
        ("diff ~/notes/paper.md", "the conflict of this file"),
        ("diff ~/notes/paper.md --version ec891ef7", "compare a version with the file as it is now"),
    ),
    "resolve": (
        ("resolve 3 keep_local", "keep the text of this machine"),
        ("resolve 3 manual_merge --edit", "finish the merge in your editor"),
        ("resolve 3 manual_merge --tool meld", "finish it in a merge program"),
        ("resolve --all keep_raven --dry-run", "show what this would replace"),
    ),
    "drafts": (
        ("drafts", "list your merges that no resolution has taken yet"),
        ("drafts 3 --rebased", "the merge of conflict 3, with the changes that came since"),
        ("drafts 3.1 --file merged.md", "keep a text as the merge of conflict 3"),
    ),
    "history": (
        ("history ~/notes/paper.md", "list its versions, here and on the server"),
        ("history ~/notes/paper.md --limit 5", "the last five"),
    ),
    "show": (
        ("show ~/notes/paper.md", "print the server's text"),
        ("show ~/notes/paper.md --version ec891ef7 > old.md", "write an older version to a file"),
    ),
    "restore": (
        ("restore ~/notes/paper.md --version ec891ef7", "bring a version back"),
        ("restore ~/notes --at 14:30 --dry-run", "show what bringing the folder back to 14:30 would change"),
        ("restore ~/notes/paper.md --trash 50fd --to old.md", "write an entry of the trash to another file"),
    ),
    "trash": (
        ("trash", "list what was replaced or removed here"),
        ("trash prune", "drop the entries that are past their time"),
    ),
    "pause": (("pause --for 1h", "pause all folders for an hour"), ("pause ~/notes", "pause one until resume")),
    "resume": (("resume", "go on with all folders"), ("resume ~/notes", "go on with one")),
    "activity": (
        ("activity -f", "show what happens to files, as it happens"),
        ("activity ~/notes --since 1d", "since yesterday, in one folder"),
        ("activity --by day --since 30d", "count the changes of each day"),
    ),
    "events": (
        ("events --follow --json", "follow everything that changes, as a program does"),
        ("events --after 812.0f4d1c2b3a59.77aa12c0de41", "continue behind an event"),
    ),
    "logs": (("logs -f", "follow the log"), ("logs --since 1h --level warning", "the warnings of the last hour")),
    "doctor": (
        ("doctor", "check everything"),
        ("doctor --drill local", "try every promise on the server of an account"),
        ("doctor --bundle report.zip", "write a report to attach to a bug"),
    ),
    "config get": (("config get", "all settings"), ("config get trash_days", "one setting")),
    "config set": (
        ("config set trash_days 90", "keep replaced files for 90 days"),
        ("config set notifications off", "show no desktop notifications"),
    ),
    "config unset": (
        ("config unset trash_days", "use the default again"),
        ("config unset trash_days --json", "the same for a script"),
    ),
    "config edit": (("config edit", "open the settings file"), ("config edit -v", "with the log on stderr")),
    "config path": (("config path", "print the path"), ("config path --json", "the same for a script")),
    "config check": (("config check", "check all files"), ("config check --json", "the same for a script")),
    "config reload": (
        ("config reload", "have the running agent read its files"),
        ("config reload --json", "the same for a script"),
    ),
    "service install": (
        ("service install", "start at login, from now on"),
        ("service install --linger", "start at boot, without a login"),
    ),
    "service uninstall": (
        ("service uninstall", "remove what install wrote"),
        ("service uninstall --json", "the same for a script"),
    ),
    "service start": (("service start", "start it now"), ("service start --json", "the same for a script")),
    "service stop": (("service stop", "stop it until the next start"), ("service stop -q", "without a word")),
    "service status": (
        ("service status", "show whether it is installed and runs"),
        ("service status --json", "the same for a script"),
    ),
    "hub serve": (
        ("hub serve --listen 0.0.0.0:8674", "serve other machines, with a certificate of its own"),
        ("hub serve --data /srv/raven", "keep the data in another folder"),
    ),
    "hub token": (
        ("hub token --workspace 5f0c --user ada", "a token for one person"),
        ("hub token --workspace 5f0c --user ada --days 30", "one that ends after 30 days"),
    ),
    "hub tokens": (("hub tokens", "list them"), ("hub tokens --json", "the same for a script")),
    "hub revoke": (
        ("hub revoke 4f1d", "refuse this token from now on"),
        ("hub revoke laptop", "the token of the machine of that name"),
        ("hub revoke 4f1d --data /srv/raven", "on a hub with another data folder"),
    ),
    "hub invite": (
        ("hub invite", "print the line with which another machine joins"),
        ("hub invite --url https://hub.example --workspace 5f0c --data /srv/raven", "for a hub behind a proxy"),
    ),
    "hub backup": (
        ("hub backup /backup/hub.db", "copy the database and the secret"),
        ("hub backup /backup/hub.db --without-secret", "the database only"),
    ),
    "hub restore": (
        ("hub restore /backup/hub.db", "restore into an empty hub"),
        ("hub restore /backup/hub.db --force", "replace the data that is there"),
    ),
    "hub migrate": (
        ("hub migrate", "bring the database to this release's schema"),
        ("hub migrate --data /srv/raven", "of a hub with another data folder"),
    ),
    "ui": (
        ("ui", "open the dashboard"),
        ("ui --no-open", "print its address only"),
        ("ui --port 9000 --json", "the same for a script, on another port"),
    ),
    "hub workspaces": (
        ("hub workspaces", "list them with their use"),
        ("hub workspaces --json", "the same for a script"),
    ),
    "hub limit": (
        ("hub limit 5f0c --quota 10GB", "take no more than that from a workspace"),
        ("hub limit 5f0c --keep-versions 50 --keep-days 365", "remove older versions, once a day"),
        ("hub limit 5f0c --quota none", "end a limit"),
    ),
    "hub prune": (
        ("hub prune", "remove old versions now, where a limit says so"),
        ("hub prune --data /srv/raven", "of a hub with another data folder"),
    ),
    "hub purge": (
        ("hub purge --dry-run", "show the sources that were deleted more than 30 days ago, and their bytes"),
        ("hub purge --kept-days 90 --yes", "remove those of 90 days ago without a question"),
    ),
    "help": (("help sync", "the help of a command"), ("help hub backup", "of a command in a group")),
    "completion": (
        (
            "completion fish > ~/.config/fish/completions/raven-agent.fish",
            "install it for fish; first: mkdir -p ~/.config/fish/completions",
        ),
        (
            "completion bash > ~/.local/share/bash-completion/completions/raven-agent",
            "install it for bash; first: mkdir -p ~/.local/share/bash-completion/completions",
        ),
    ),
}


def epilog(path: str) -> str:
    """Return the examples of a command as a paragraph that keeps its lines; "" for an unknown one.

    Args:
        path: the command's words after the program's name, such as ``hub backup``.
    """
    program = "raven-agent"
    lines = [line for line, purpose in EXAMPLES.get(path, ()) for line in (f"  # {purpose}", f"  {program} {line}")]
    return "\n".join(["\b", "Examples:", *lines]) if lines else ""
