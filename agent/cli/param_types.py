"""Kinds of values that options of several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

FILE: Final = click.Path(dir_okay=False, path_type=Path)
