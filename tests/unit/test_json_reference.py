"""The JSON reference is what the code answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.api.reference import linked_answer, reference

DOCUMENT = Path(__file__).parents[2] / "docs" / "json.md"


def test_the_json_reference_is_generated_from_the_types() -> None:
    """``python -m agent.api.reference > docs/json.md`` writes it again after a change of the types."""
    assert DOCUMENT.read_text("utf-8") == reference()


def test_only_a_marked_name_is_a_link_to_a_method() -> None:
    """A field may have the name of a method whose answer is another thing, as ``sources``, a number, of a workspace."""
    assert linked_answer("`@status`; `sources`") == "[status](#status); `sources`"
    with pytest.raises(KeyError):
        linked_answer("`@no_such_method`")
