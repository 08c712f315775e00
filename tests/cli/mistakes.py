"""Typical mistakes as data: what a person types, and what the answer must say.

Each answer names the cause and the next step in a sentence, has the right exit code, and shows no traceback.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Mistake:
    """One mistake.

    Attributes:
        world: state of the machine: ``fresh`` (nothing is linked), ``linked`` (its server runs) or ``down`` (linked,
            and its server does not answer); a word behind a dash names one more thing that is wrong.
        typed: the command line; ``~`` is the person's home.
        code: the exit code.
        says: parts of the answer, cause and next step.
        stdin: the input of the command.
    """

    world: str
    typed: str
    code: int
    says: tuple[str, ...]
    stdin: str = ""


MISTAKES: Final = (
    # A wrong path
    Mistake("fresh", "up ~/note", 2, ("there is no folder ~/note", "did you mean ~/notes? (--create makes it)")),
    Mistake("fresh", "up ~/notes/a.md", 2, ("~/notes/a.md is not a folder", "sync the folder that holds it")),
    Mistake("fresh", "up /", 2, ("/ is too much to sync", "link a folder inside it")),
    Mistake("fresh", "up ~", 2, ("~ is too much to sync", "link a folder inside it")),
    Mistake("fresh", "up /etc", 2, ("/etc is a folder of the system", "link a folder of your own")),
    Mistake("fresh", "explain ~nobody-here/x", 2, ("begins with a user who is not known here", "./~nobody-here/x")),
    Mistake("fresh-locked", "link ~/more --server work", 2, ("the folder ~/more cannot be read", "ls -ld")),
    Mistake("linked", "link ~/notes/sub", 2, ("overlaps ~/notes, which is linked already", "unlink that one first")),
    Mistake("linked", "move ~/notes ~/moved", 2, ("~/moved is not a folder", "move the folder first")),
    Mistake("linked", "explain ~/notes/b.md", 0, ("neither side has this file", "files in ~/notes: raven-agent files")),
    Mistake("linked", "retry ~/notes/b.md", 2, ("there is no file b.md", "raven-agent files ~/notes lists them")),
    Mistake("linked", "history ~/notes", 2, ("~/notes is a folder", "raven-agent files lists its files")),
    Mistake(
        "linked",
        "history ~/notes/b.md",
        0,
        ("no versions: neither the server nor the trash", "raven-agent files lists"),
    ),
    Mistake("linked", "resolve 1 manual_merge --file ~/x.md", 2, ("cannot read", "give the file that holds the merge")),
    Mistake("fresh-gone", "explain x", 2, ("the working directory does not exist any more", "cd to a folder that")),
    # A typo
    Mistake("fresh", "statsu", 2, ("there is no command 'statsu'", "did you mean status?")),
    Mistake("fresh", "status --jsn", 2, ("No such option '--jsn'", "Did you mean '--json'?")),
    Mistake("fresh", "--json status", 2, ("--json goes behind the command", "raven-agent status --json")),
    Mistake("fresh", "help nosuch", 2, ("there is no command 'nosuch'", "raven-agent --help lists the commands")),
    Mistake("fresh", "config get quite_ms", 2, ("unknown setting 'quite_ms'", "did you mean 'quiet_ms'?")),
    Mistake("fresh", "completion tcsh", 2, ("'tcsh' is not one of bash, zsh, fish", "raven-agent completion --help")),
    Mistake("fresh", "resolve 1 keep-locl", 2, ("'keep-locl' is not one of", "did you mean keep_local?")),
    Mistake("linked", "conflicts ~/nots", 2, ("~/nots is not linked", "did you mean ~/notes?")),
    Mistake("fresh", "files --state nosuch", 2, ("'nosuch' is not one of 'ok'", "raven-agent files --help")),
    # A word that is missing or makes no sense
    Mistake("fresh", "history", 2, ("Missing argument 'PATH'", "raven-agent history --help")),
    Mistake("fresh", "resolve", 2, ("Missing argument 'CHOICE'", "keep_local, keep_raven, manual_merge")),
    Mistake("linked", "restore ~/notes/a.md", 2, ("exactly one of --version, --trash, --at", "raven-agent history")),
    Mistake("linked", "restore ~/notes/a.md --version ff", 2, ("no version of a.md begins with 'ff'", "history lists")),
    Mistake("linked", "restore ~/notes --at noon", 2, ("'noon' is not a time", "for example 2h, 14:30")),
    Mistake("linked", "restore ~/notes --at 2h", 2, ("is not known that far back", "raven-agent activity FOLDER")),
    Mistake("fresh", "pause --for 5", 2, ("5 of what?", "give a unit: 5s, 5m or 5h")),
    Mistake("fresh", "pause --for noon", 2, ("'noon' is not a length of time", "for example 30s, 10m")),
    Mistake("fresh", "config set quiet_ms abc", 2, ("is a whole number, not 'abc'", "raven-agent config get quiet_ms")),
    Mistake("fresh", "up ~/notes --port 99999", 2, ("99999 is not in the range", "raven-agent up --help")),
    Mistake("linked", "diff 99", 2, ("no open conflict '99'", "raven-agent conflicts lists them")),
    Mistake("linked", "sync --approve-deletes x", 2, ("no deletes are held under the plan x", "raven-agent status")),
    Mistake("linked", "rules ~/notes --include [", 2, ("the pattern '[' is refused", "for example '**/*.org'")),
    Mistake("linked", "rules ~/notes --include !x", 2, ("it is negated", "give the opposite list a pattern")),
    # Nothing is linked, or no account is there
    Mistake("fresh", "status", 0, ("no folder is linked", "start with: raven-agent up FOLDER")),
    Mistake("fresh", "sync", 1, ("no folder is linked", "start with: raven-agent up FOLDER")),
    Mistake("fresh", "status --check", 1, ("no folder is linked", "start with: raven-agent up FOLDER")),
    Mistake("fresh", "retry", 1, ("no folder is linked", "start with: raven-agent up FOLDER")),
    Mistake("fresh", "pause", 1, ("no folder is linked", "start with: raven-agent up FOLDER")),
    Mistake("fresh", "resume", 1, ("no folder is linked", "start with: raven-agent up FOLDER")),
    Mistake("fresh", "sync ~/notes", 2, ("~/notes is not linked", "raven-agent link ~/notes")),
    Mistake("fresh", "unlink ~/notes", 2, ("~/notes is not linked", "raven-agent link ~/notes")),
    Mistake("fresh", "show ~/notes/a.md", 2, ("~/notes/a.md lies in no linked folder", "raven-agent up FOLDER")),
    Mistake(
        "linked",
        "link ~/more --server wrok",
        2,
        ("no account named 'wrok' (known: work)", "did you mean 'work'?", "raven-agent login"),
    ),
    Mistake("linked", "sources rename x y", 2, ("no source is called 'x'", "raven-agent sources lists them")),
    Mistake(
        "linked",
        "devices",
        1,
        (
            "only ScaiDrive and Pinakes accounts have devices",
            "status --machines",
            "config set machine_name",
            "hub tokens",
        ),
    ),
    Mistake("linked", "devices remove x", 2, ("that is no change of a device", "devices rename ID NAME")),
    Mistake("fresh", "logs", 1, ("there is no log at", "journalctl")),
    Mistake("fresh", "service start", 1, ("there is no service here", "raven-agent service install")),
    # A wrong address or token
    Mistake("fresh", "login nonsense", 2, ("'nonsense' is not an http or https address", "https://raven.example")),
    Mistake("fresh", "login http://r.example", 2, ("would send the token to r.example unencrypted", "--insecure-http")),
    Mistake("fresh", "login https://r.example --workspace w", 2, ("a token is needed", "--token-stdin")),
    Mistake("fresh", "login https://r.example --token-stdin", 2, ("standard input holds no token", "| raven-agent")),
    Mistake("fresh", "login URL --token-stdin", 4, ("refused the token", "check the address, the workspace"), "no\n"),
    Mistake("fresh", "login DOWN --token-stdin", 5, ("cannot be reached: connection refused", "check"), "a.b.c\n"),
    Mistake("fresh", "join nonsense", 2, ("that is not an invite", "raven-agent hub invite prints one")),
    Mistake("linked", "logout nosuch", 2, ("no account named 'nosuch' (known: work)", "raven-agent login URL")),
    # Something is down, taken or locked
    Mistake("down", "sync", 5, ("cannot be reached: connection refused", "tried again")),
    Mistake("down", "history ~/notes/a.md", 5, ("only the local trash is listed", "connection refused")),
    Mistake("down-moved", "sync", 6, ("There is no folder at ~/notes any more", "raven-agent move ~/notes NEW")),
    Mistake("fresh-held", "sync", 7, ("holds this home", "end that one first: raven-agent stop")),
    Mistake("fresh", "hub serve --listen foo", 2, ("'foo' is not HOST:PORT", "for example 127.0.0.1:8674")),
    Mistake("fresh", "hub serve --listen TAKEN", 1, ("the port is in use (", "Choose another: --listen HOST:PORT")),
    Mistake("fresh", "hub tokens --data ~/hub", 1, ("there is no hub in ~/hub", "--data DIR", "raven-agent up")),
    Mistake("linked", "sync --undo-deletes", 0, ("no deletes were held", "raven-agent history FILE")),
    Mistake("fresh", "service status", 7, ("not installed", "next: raven-agent service install")),
    Mistake("fresh", "hub restore ~/x.db", 1, ("There is no backup at ~/x.db", "raven-agent hub backup FILE")),
    # An environment that is not as it should be
    Mistake("fresh-relative", "status", 2, ("RAVEN_AGENT_HOME=agent is a relative path", "give the whole path")),
    Mistake("fresh-loud", "status", 2, ("RAVEN_AGENT_LOG=loud is refused", "log_level is one of")),
    Mistake("fresh-broken", "status", 2, ("config.toml", "raven-agent config")),
    Mistake("linked-narrow", "status", 0, ("notes: up to date", "no agent runs")),
)
