"""The bundle for a helper: checks, versions, status, settings and the end of the log, without any token."""

from __future__ import annotations

import contextlib
import io
import json
import platform
import sys
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from agent import __version__
from agent.core.errors import AgentError
from agent.core.scrub import scrub
from agent.process.log_files import last_file_lines
from agent.settings.credentials import CredentialStore
from agent.settings.home import Home
from agent.settings.registry_file import load_registry
from agent.settings.settings import Settings

LOG_LINES: Final = 5000


def bundle_texts(
    home: Home, settings: Settings, env: Mapping[str, str], doctor: Mapping[str, Any], status: Any
) -> dict[str, str]:
    """Return the text of each file of the bundle, by its name.

    Tokens, and what looks like one, are blotted out, and the person's own folder is ``~``. Names of folders and files
    stay; no file's text is in it.

    Args:
        doctor: the checks.
        status: the status, or one sentence why there is none.
    """
    parts = {
        "doctor.json": json.dumps(doctor, indent=2),
        "versions.json": json.dumps(_versions(), indent=2),
        "status.json": json.dumps(status, indent=2),
    }
    if home.config_file.exists():
        try:
            parts["config.toml"] = home.config_file.read_text("utf-8", "replace")
        except OSError as error:
            parts["config.toml"] = f"it cannot be read: {error.strerror}"
    parts["agent.log"] = "\n".join(last_file_lines(home.log_file, LOG_LINES))
    secrets = _secrets(home, settings, env)
    return {name: _redacted(text, secrets) for name, text in parts.items()}


def packed(texts: Mapping[str, str]) -> bytes:
    """Return a zip of these texts."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in texts.items():
            archive.writestr(name, text)
    return made.getvalue()


def _redacted(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, "[token]")
    own = str(Path.home())
    return scrub(text.replace(own, "~") if len(own) > 1 else text)


def _secrets(home: Home, settings: Settings, env: Mapping[str, str]) -> list[str]:
    """Every token of this home, as far as it can be read: one that is no JWT is known by nothing else."""
    found = [env.get(name, "") for name in ("RAVEN_TOKEN", "RAVEN_JWT")]
    with contextlib.suppress(AgentError):
        store = CredentialStore(home, settings, env)
        for entry in load_registry(home.registry_file).servers:
            with contextlib.suppress(AgentError):
                token = store.token_for(entry)
                found.append(token.value if token else "")
    return [secret for secret in found if secret]


def _versions() -> dict[str, str]:
    return {
        "raven-agent": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "encoding": sys.getfilesystemencoding(),
    }
