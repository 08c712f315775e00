#!/usr/bin/env python3
"""Check the changelog fragments; with --release VERSION, move them into CHANGELOG.md.

A fragment is ``docs/changelog.d/NAME.TYPE.md``: one or two plain sentences about a change that a user can see. TYPE is
a section of Keep a Changelog: security, added, changed, fixed or removed.

    python3 docs/changelog.py                      # check; 1 if a fragment is malformed
    python3 docs/changelog.py --draft              # print the section that a release would get
    python3 docs/changelog.py --release 0.2.0      # write it under that version and remove the fragments
"""

from __future__ import annotations

import argparse
import datetime
import re
import sys
import textwrap
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
FRAGMENTS = TOP / "docs" / "changelog.d"
CHANGELOG = TOP / "CHANGELOG.md"
UNRELEASED = "## [Unreleased]"
TYPES = ("security", "added", "changed", "fixed", "removed")
NAME = re.compile(rf"[a-z0-9][a-z0-9-]*\.({'|'.join(TYPES)})\.md")
LONGEST = 500
WIDTH = 120


def problems(folder: Path = FRAGMENTS) -> list[str]:
    """Return one sentence for each malformed fragment."""
    found = []
    for file in sorted(folder.glob("*")):
        text = file.read_text("utf-8").strip()
        if not NAME.fullmatch(file.name):
            found.append(f"{file.name}: the name must be NAME.TYPE.md, TYPE one of {', '.join(TYPES)}")
        elif not text or "\n\n" in text or text.startswith(("#", "-", "*")):
            found.append(f"{file.name}: one paragraph of plain sentences, without heading or bullet")
        elif len(text) > LONGEST:
            found.append(f"{file.name}: {len(text)} characters; a user reads at most {LONGEST}")
    return found


def section(folder: Path = FRAGMENTS) -> str:
    """Return the fragments as Markdown, one heading a type, one bullet a fragment."""
    parts = []
    for kind in TYPES:
        files = sorted(folder.glob(f"*.{kind}.md"))
        if not files:
            continue
        parts.append(f"### {kind.capitalize()}\n")
        for file in files:
            text = " ".join(file.read_text("utf-8").split())
            parts.append(
                textwrap.fill(
                    f"- {text}", WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
                )
            )
        parts.append("")
    return "\n".join(parts)


def release(version: str, today: datetime.date, changelog: Path = CHANGELOG, folder: Path = FRAGMENTS) -> None:
    """Write the section under a version's heading and remove the fragments.

    Raises:
        ValueError: the changelog has no "Unreleased" heading, or has this version already.
    """
    text = changelog.read_text("utf-8")
    if UNRELEASED not in text or f"## [{version}]" in text:
        raise ValueError(f"{changelog.name} must have the heading {UNRELEASED!r} and not yet {version}")
    heading = f"{UNRELEASED}\n\n## [{version}] - {today.isoformat()}\n\n{section(folder)}"
    changelog.write_text(text.replace(f"{UNRELEASED}\n", f"{heading}".rstrip() + "\n", 1), "utf-8")
    for file in folder.glob("*.md"):
        file.unlink()


def main() -> int:
    """Run the command; 0 on success, 1 if a fragment or the changelog is malformed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--draft", action="store_true", help="print the section that a release would get")
    parser.add_argument("--release", metavar="VERSION", help="write the section under this version")
    options = parser.parse_args()
    if found := problems():
        print(*found, sep="\n", file=sys.stderr)
        return 1
    if options.draft:
        print(section())
    if options.release:
        release(options.release, datetime.datetime.now(datetime.UTC).date())
    return 0


if __name__ == "__main__":
    sys.exit(main())
