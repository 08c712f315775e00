"""The JSON reference is what the code answers."""

from __future__ import annotations

from pathlib import Path

from agent.api.reference import reference

DOCUMENT = Path(__file__).parents[2] / "docs" / "json.md"


def test_the_json_reference_is_generated_from_the_types() -> None:
    """``python -m agent.api.reference > docs/json.md`` writes it again after a change of the types."""
    assert DOCUMENT.read_text("utf-8") == reference()
