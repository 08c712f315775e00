"""The path of the installed program, which a service starts."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from agent.core.errors import UsageError
from agent.process.relaunch import is_frozen

SCRIPT: Final = "raven-agent"
OURS: Final = ("RAVEN_AGENT_HOME", "RAVEN_AGENT_ETC")
"""Variables that choose the agent's folders and that a service manager does not know. No token: units are readable."""
PERSONAL: Final = (*OURS, "XDG_CONFIG_HOME", "XDG_STATE_HOME")
"""The same for the user's own service; for another user's folders these mean nothing."""
_CACHES: Final = frozenset({".cache", "Caches"})
_REMEDY: Final = "install it for good first, for example: pipx install git+URL, or the package of your system"


def find_program(env: Mapping[str, str], called_as: str) -> Path:
    """Return the absolute path of this program's script; a path that stays the same over upgrades, if there is one.

    Args:
        called_as: ``sys.argv[0]``.

    Raises:
        UsageError: it runs without a script, or from a folder that is cleaned up: a temporary folder, or a cache of
            ``uvx`` or ``pipx run``.
    """
    found = next((path for path in _candidates(called_as) if path.is_file() and os.access(path, os.X_OK)), None)
    if found is None:
        raise UsageError(f"the program runs without its script {SCRIPT}: a service could not start it", _REMEDY)
    # Homebrew and packages install each version in a folder of its own, with a link that outlives the version.
    known = shutil.which(SCRIPT, path=env.get("PATH"))
    chosen = Path(known).absolute() if known and Path(known).resolve() == found.resolve() else found
    # A single file unpacks itself at every start, so the place of the unpacked files does not matter.
    places = (chosen, chosen.resolve()) if is_frozen() else (chosen, chosen.resolve(), Path(sys.prefix))
    for path in places:
        reason = passing(path, env)
        if reason is not None:
            raise UsageError(f"{path} is in {reason} and may be removed", _REMEDY)
    return chosen


def _candidates(called_as: str) -> Iterator[Path]:
    if is_frozen():
        yield Path(sys.executable).absolute()
        return
    if Path(called_as).name == SCRIPT and os.sep in called_as:
        yield Path(called_as).absolute()
    yield Path(sysconfig.get_path("scripts")) / SCRIPT
    yield Path(sysconfig.get_path("scripts", sysconfig.get_preferred_scheme("user"))) / SCRIPT


def passing(path: Path, env: Mapping[str, str]) -> str | None:
    """Return the kind of temporary place that ``path`` is in; None for a permanent one."""
    for name in ("UV_CACHE_DIR", "XDG_CACHE_HOME", "PIP_CACHE_DIR"):
        if env.get(name) and path.is_relative_to(env[name]):
            return f"a cache ({env[name]})"
    cache = next((Path(*path.parts[: i + 1]) for i, part in enumerate(path.parts) if part in _CACHES), None)
    if cache is not None:
        return f"a cache ({cache})"
    for folder in (env.get("TMPDIR") or tempfile.gettempdir(), "/var/tmp"):  # noqa: S108 - named, not used
        if path.is_relative_to(folder) or path.is_relative_to(Path(folder).resolve()):
            return f"a temporary folder ({folder})"
    return None


def variables(env: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """Return those of ``names`` that are set, with an absolute path of the agent's home."""
    found = {name: env[name] for name in names if env.get(name)}
    if "RAVEN_AGENT_HOME" in found:
        found["RAVEN_AGENT_HOME"] = str(Path(found["RAVEN_AGENT_HOME"]).expanduser().absolute())
    return found
