"""Settings of the documentation site (Sphinx, MyST, furo)."""

import re
from pathlib import Path

_TOP = Path(__file__).resolve().parent.parent

project = "raven-agent"
author = "the raven-agent maintainers"
copyright = "the raven-agent maintainers, Apache-2.0"
release = re.search(r'__version__ = "(.+?)"', (_TOP / "agent" / "__init__.py").read_text()).group(1)  # type: ignore[union-attr]
version = release

extensions = ["myst_parser"]
myst_enable_extensions = ["deflist", "colon_fence"]
myst_heading_anchors = 3
exclude_patterns = ["changelog.d/*"]
html_theme = "furo"
html_title = f"raven-agent {release}"
html_show_sphinx = False
nitpicky = True
linkcheck_ignore = [r"https?://(localhost|127\.0\.0\.1|raven\.example).*"]
