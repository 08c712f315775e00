"""Check the words of the program: names, docstrings, comments, file and function lengths.

The rules stand in CONTRIBUTING.md under "Words and names". An engineer who reads English as a second language must
understand a name or a docstring at first reading. These checks keep it so.
"""

import ast
import io
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PRODUCT = sorted((REPOSITORY / "agent").rglob("*.py"))
TESTS = sorted((REPOSITORY / "tests").rglob("*.py"))

LONGEST_FILE = 400
LONGEST_FUNCTION = 50
LONGEST_TEST_NAME = 60

# A docstring that opens with one of these describes around the thing instead of naming it.
OPENING_WORDS = frozenset({"what", "whether", "how", "where", "when", "who", "whoever"})

# Metaphors and turns of phrase for which the field has a word. Whole words, in identifiers, docstrings and comments.
FORBIDDEN_WORDS = frozenset(
    {
        "desk",
        "desks",
        "wishes",
        "herald",
        "heralds",
        "doorkeeper",
        "hands",
        "eyes",
        "bell",
        "nursery",
        "pilot",
        "mouthful",
    }
    | {"stands", "stood", "told", "tells", "nobody", "whoever", "lest"}
)
FORBIDDEN_PHRASES = ("what came", "put by", "at hand", "let go", "lets go", "letting go", "be it")

# Files and folders that are still to be rewritten. Entries are only ever removed.
_LIST = Path(__file__).with_name("unrewritten.txt")
UNREWRITTEN = tuple(_LIST.read_text().split()) if _LIST.exists() else ()

# Classes of the hub that the core defines as well, until the hub imports them. Entries are only ever removed.
DEFINED_TWICE: frozenset[str] = frozenset()

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def _name(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def _definitions(path: Path) -> Iterator[Definition]:
    for node in ast.walk(_tree(path)):
        if isinstance(node, Definition):
            yield node


def _docstrings(path: Path) -> Iterator[tuple[int, str]]:
    for node in [_tree(path), *_definitions(path)]:
        text = ast.get_docstring(node)
        if text:
            yield node.body[0].lineno, text


def _comments(path: Path) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def _identifiers(path: Path) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
        if token.type == tokenize.NAME:
            yield token.start[0], token.string


def _words_of_identifier(identifier: str) -> list[str]:
    """Split snake case and camel case into lower-case words."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", identifier).lower().split("_")


def _forbidden_in_prose(text: str) -> list[str]:
    plain = " ".join(text.lower().split())
    words = re.findall(r"[a-z]+", plain)
    found = [word for word in words if word in FORBIDDEN_WORDS]
    return found + [phrase for phrase in FORBIDDEN_PHRASES if re.search(rf"\b{phrase}\b", plain)]


def _rewritten(paths: list[Path]) -> list[Path]:
    return [path for path in paths if not _name(path).startswith(UNREWRITTEN)]


def test_no_public_class_is_defined_twice() -> None:
    """One class name has one meaning in the whole program."""
    places = defaultdict(list)
    for path in PRODUCT:
        for node in _definitions(path):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(f"{_name(path)}:{node.lineno}")
    assert {name: found for name, found in places.items() if len(found) > 1 and name not in DEFINED_TWICE} == {}


def test_docstrings_open_with_the_thing_they_describe() -> None:
    """A docstring's first line is an imperative or a noun phrase, never an indirect question."""
    wrong = []
    for path in _rewritten(PRODUCT):
        for line, text in _docstrings(path):
            first = re.match(r"[A-Za-z]+", text)
            if first and first.group().lower() in OPENING_WORDS:
                wrong.append(f"{_name(path)}:{line}: {text.splitlines()[0]}")
    assert wrong == []


def test_docstrings_and_comments_use_standard_words() -> None:
    """Prose in the product uses the field's words, not metaphors."""
    wrong = []
    for path in _rewritten(PRODUCT):
        for line, text in [*_docstrings(path), *_comments(path)]:
            wrong += [f"{_name(path)}:{line}: {word}" for word in _forbidden_in_prose(text)]
    assert wrong == []


def test_identifiers_use_standard_words() -> None:
    """Names of the product contain none of the forbidden words."""
    wrong = {
        f"{_name(path)}:{line}: {identifier}"
        for path in _rewritten(PRODUCT)
        for line, identifier in _identifiers(path)
        if FORBIDDEN_WORDS.intersection(_words_of_identifier(identifier))
    }
    assert wrong == set()


def test_file_names_use_standard_words() -> None:
    """Names of files, in the product and in the tests, contain none of the forbidden words."""
    assert [_name(path) for path in PRODUCT + TESTS if FORBIDDEN_WORDS.intersection(path.stem.split("_"))] == []


def test_test_names_are_short_and_unique() -> None:
    """A test's name has at most 60 characters and is defined once in its file."""
    wrong = []
    for path in TESTS:
        seen: set[tuple[str, str]] = set()
        classes = (node for node in _definitions(path) if isinstance(node, ast.ClassDef))
        scopes: list[ast.Module | ast.ClassDef] = [_tree(path), *classes]
        for scope in scopes:
            owner = getattr(scope, "name", "")
            for node in scope.body:
                if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or not node.name.startswith("test_"):
                    continue
                if len(node.name) > LONGEST_TEST_NAME or (owner, node.name) in seen:
                    wrong.append(f"{_name(path)}:{node.lineno}: {node.name}")
                seen.add((owner, node.name))
    assert wrong == []


def test_files_are_short() -> None:
    """No file of the product has more than 400 lines."""
    lengths = {_name(path): len(path.read_text().splitlines()) for path in _rewritten(PRODUCT)}
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}


def test_functions_are_short() -> None:
    """No function of the product has more than 50 lines, its docstring and decorators included."""
    wrong = []
    for path in _rewritten(PRODUCT):
        for node in _definitions(path):
            if isinstance(node, ast.ClassDef) or node.end_lineno is None:
                continue
            length = node.end_lineno - node.lineno + 1
            if length > LONGEST_FUNCTION:
                wrong.append(f"{_name(path)}:{node.lineno}: {node.name} has {length} lines")
    assert wrong == []


def test_every_package_says_where_to_begin() -> None:
    """The docstring of each package says in at least two lines which code is in it and where to begin reading."""
    short = []
    for path in _rewritten([path for path in PRODUCT if path.name == "__init__.py"]):
        text = ast.get_docstring(_tree(path)) or ""
        if len(text.splitlines()) < 2:
            short.append(_name(path))
    assert short == []


def test_files_that_a_package_names_exist() -> None:
    """A module that the docstring of a package names is in that package."""
    named = 0
    missing = []
    for path in PRODUCT:
        if path.name == "__init__.py":
            for name in re.findall(r"``([\w/]+\.py)``", ast.get_docstring(_tree(path)) or ""):
                named += 1
                if not (path.parent / name).exists():
                    missing.append(f"{_name(path)}: {name}")
    assert missing == []
    assert named > 20


def test_the_checks_find_what_they_look_for() -> None:
    """The word lists match whole words and phrases, and nothing inside other words."""
    assert _forbidden_in_prose("It stands there, told by nobody.") == ["stands", "told", "nobody"]
    assert _forbidden_in_prose("It was put\n    by at hand") == ["put by", "at hand"]
    assert _forbidden_in_prose("Understands the output by name.") == []
    assert _words_of_identifier("_DeskOfHands") == ["", "desk", "of", "hands"]
