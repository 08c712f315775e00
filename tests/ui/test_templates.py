"""The templates as files: they compile, they escape, and they hold nothing that the security policy refuses."""

from __future__ import annotations

import re

import pytest

from agent.ui.app import HERE, make_templates

TEMPLATES = sorted(path.name for path in (HERE / "templates").iterdir())


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_holds_no_inline_script_or_style(name: str) -> None:
    """A template compiles, never marks a value as safe, and has no handler, style or address of another place."""
    text = (HERE / "templates" / name).read_text("utf-8")
    make_templates().get_template(name)
    assert not re.search(r"\|\s*safe\b|autoescape|\bMarkup\b", text)
    assert not re.search(r"<[^>{%]*\s(on\w+|style)=[\"']", text)
    assert "<style" not in text and not re.search(r"<script(?! (src=\"/static/|type=\"application/json\"))", text)
    assert not re.search(r"(src|href|action)=\"(https?:)?//", text)


def test_every_form_that_posts_carries_its_token() -> None:
    """Each form that posts has the token as a field; the sign-in form has none to carry."""
    for name in TEMPLATES:
        text = (HERE / "templates" / name).read_text("utf-8")
        for form in re.findall(r"<form method=\"post\".*?</form>", text, re.DOTALL):
            assert "csrf" in form or "hidden(" in form or name == "login.html", (name, form)
