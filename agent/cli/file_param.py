"""The type of an argument or option that is a file. Apart from the other types: ``pathlib`` is slow to import."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

FILE: Final = click.Path(dir_okay=False, path_type=Path)
