"""The page "Which server, which promise" names tests that exist, and each of its cells names one."""

import ast
import re
from pathlib import Path

from remotes.suite import PROMISES

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "which-server.md").read_text()
NAMED = dict(re.findall(r"^(\d+)\. `(tests/\S+\.py::\w+(?:::\w+)?)`$", PAGE, re.MULTILINE))
SUITE = {f"Test{each.__name__.removesuffix('Promises')}": each for each in PROMISES}


def test_each_test_that_the_page_names_exists() -> None:
    """The numbers are 1, 2, 3 and so on, and each is used."""
    assert list(NAMED) == [str(number) for number in range(1, len(NAMED) + 1)] and len(NAMED) > 20
    for name in NAMED.values():
        file, function, *method = name.split("::")
        source = (REPOSITORY / file).read_text()
        if method:
            assert "promises(__name__)" in source and method[0] in vars(SUITE[function]), name
        else:
            tree = ast.parse(source)
            assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, name
    used = set(re.findall(r"\[(\d+)\]", PAGE))
    assert used == NAMED.keys()


def test_each_cell_of_a_promise_names_its_test() -> None:
    """Beside the heads of the tables, every cell ends with the number of a test."""
    rows = [line.strip("|").split("|") for line in PAGE.splitlines() if line.startswith("| ")]
    cells = [cell.strip() for row in rows if row[0].strip() != "promise" for cell in row[1:]]
    assert len(cells) > 30
    assert [cell for cell in cells if not re.search(r"\[\d+\]$", cell)] == []
