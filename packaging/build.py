#!/usr/bin/env python3
"""Builds the packages: `python3 packaging/build.py deb`, and so on. Everything built lands in `dist/`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import project


def _deb(given: argparse.Namespace) -> Path:
    import deb

    return deb.build(given.into)


def _file(given: argparse.Namespace) -> Path:
    import onefile

    return onefile.build(given.into)


def _formula(given: argparse.Namespace) -> Path:
    import formula

    return formula.build(given.into, given.url)


def _man(given: argparse.Namespace) -> Path:
    import man

    return man.build(given.folder)


def _lock(_: argparse.Namespace) -> Path:
    return project.refresh_lock()


def _sbom(given: argparse.Namespace) -> Path:
    import sbom

    return sbom.build(given.into)


def _requirements(_: argparse.Namespace) -> str:
    return project.requirements()


_TARGETS: Final[dict[str, tuple[str, Callable[[argparse.Namespace], Path | str]]]] = {
    "deb": ("a Debian package for the Debian it is built on", _deb),
    "file": ("a single file that needs no Python", _file),
    "formula": ("the source archive and a Homebrew formula for it", _formula),
    "man": ("the man pages, from the commands of the installed program", _man),
    "sbom": ("a bill of materials (CycloneDX) of what the packages bring along", _sbom),
    "requirements": ("print the lock in the form every pip reads", _requirements),
    "lock": ("resolve the dependencies anew and write packaging/pylock.toml", _lock),
}


def main(arguments: list[str] | None = None) -> int:
    """Build one package. Return 0, or 1 with a sentence on stderr on failure."""
    parser = argparse.ArgumentParser(prog="packaging/build.py", description="Build a package; it lands in dist/.")
    parser.add_argument("--version", action="version", version=project.version())
    parser.add_argument("--into", type=Path, default=project.DIST, metavar="DIR", help="by default dist/")
    targets = parser.add_subparsers(dest="target", required=True)
    for name, (meaning, _) in _TARGETS.items():
        target = targets.add_parser(name, help=meaning, description=meaning)
        if name == "formula":
            target.add_argument("--url", help="where the source archive will be published; by default the file itself")
        if name == "man":
            target.add_argument("folder", type=Path)
    given = parser.parse_args(arguments)
    try:
        given.into = given.into.absolute()
        made = _TARGETS[given.target][1](given)
    except project.BuildError as error:
        print(error, file=sys.stderr)
        return 1
    print(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
