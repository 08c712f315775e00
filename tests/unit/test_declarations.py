"""Reading what is declared."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from agent.core.model import Mode
from agent.settings.declarations import DeclarationKind, Declarations, read

FILE = Path("/etc/raven-agent/conf.d/10.toml")


def declared(text: str, file: Path = FILE) -> Declarations:
    return read([(file, tomllib.loads(text))])


def test_a_declared_server_is_named_by_host_with_token_beside() -> None:
    """A relative token file lies beside the declaring file; a credential of the service manager stays symbolic."""
    [server] = declared('[[server]]\nurl = "https://R.example/api/"\ntoken_file = "../t"').servers
    assert (server.name, server.url, server.token_file) == ("r.example", "https://r.example", "/etc/raven-agent/t")
    [server] = declared('[[server]]\nurl = "https://r.example"\ntoken_file = "$CREDENTIALS_DIRECTORY/t"').servers
    assert server.token_file == "$CREDENTIALS_DIRECTORY/t"


def test_a_source_has_its_folder_s_name_and_every_key_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """``~`` is the home of whoever runs the agent."""
    monkeypatch.setenv("HOME", "/home/ada")
    text = 'root = "~/a/../notes"\nmode = "import_only"\ninclude = ["*.md", "*.md"]\nexclude = ["x/"]\nsource = "all"'
    [source] = declared(f"[[source]]\n{text}").sources
    assert (source.root, source.name, source.mode) == (Path("/home/ada/notes"), "notes", Mode.IMPORT_ONLY)
    assert (source.include, source.exclude, source.source, source.server) == (("*.md",), ("x/",), "all", None)


def test_a_pin_is_taken_as_openssl_prints_it() -> None:
    """Capitals and colons; a pin without encryption would check nothing."""
    pin = ":".join(["AB"] * 32)
    [server] = declared(f'[[server]]\nurl = "https://r.example"\npin = "{pin}"').servers
    assert server.pin == "ab" * 32
    plain = declared(f'[[server]]\nurl = "http://127.0.0.1:9"\npin = "{pin}"')
    assert "https" in plain.refusals[0].message


@pytest.mark.parametrize(
    ("text", "says", "hint"),
    [
        ('[[server]]\nname = "a"', "needs its url", None),
        ('[[server]]\nurl = "r.example"', "not an http or https address", None),
        ('[[server]]\nurl = "http://r.example"', "unencrypted", "insecure_http = true"),
        ('[[server]]\nurl = "https://u:hush@r.example"', "password in it", None),
        ('[[server]]\nurl = "https://r.example"\nname = "local"', "embedded hub's", None),
        ('[[server]]\nurl = "https://r.example"\ntoken = "t"', "unknown key 'token'", "token_file"),
        ('[[server]]\nurl = "https://r.example"\npin = "ab:cd"', "64 hexadecimal digits", "openssl x509"),
        ("[server]\nurl = 3", "url is text in quotes", None),
        ("server = 3", "written as a [[server]] table", None),
        ('[[source]]\nname = "a"', "needs its root", None),
        ('[[source]]\nroot = "notes"', "absolute path", None),
        ('[[source]]\nroot = "/n"\nmode = "both"', "mode is one of", None),
        ('[[source]]\nroot = "/n"\ninclude = "*.md"', "a list of patterns", None),
        ('[[source]]\nroot = "/n"\nfolder = "/m"', "unknown key 'folder'", "its keys are root"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused_by_itself(text: str, says: str, hint: str | None) -> None:
    """With its file and reason; what stands beside it is read."""
    found = read([(FILE, tomllib.loads(text)), (Path("/b.toml"), tomllib.loads('[[source]]\nroot = "/fine"'))])
    [refusal] = found.refusals
    assert says in refusal.message and refusal.file == str(FILE) and "hush" not in refusal.message
    assert hint is None or hint in str(refusal.hint)
    assert [source.root for source in found.sources] == [Path("/fine")]


def test_of_two_that_cannot_both_be_the_second_is_refused() -> None:
    """The same account, the same folder, one folder inside another, one name for two folders of a server."""
    twice = '[[server]]\nurl = "https://r.example"\n' * 2
    assert "declared in /etc" in declared(twice).refusals[0].message
    for second, says in (
        ('root = "/n"', "already"),
        ('root = "/n/in"', "overlaps"),
        ('root = "/m"\nname = "n"', "is taken by /n"),
    ):
        found = declared(f'[[source]]\nroot = "/n"\n[[source]]\n{second}')
        assert [source.root for source in found.sources] == [Path("/n")]
        assert says in found.refusals[0].message


def test_where_a_table_was_refused_one_that_is_missing_may_be_it() -> None:
    """So nothing that file declared before counts as gone."""
    found = declared('[[source]]\nroot = "/n"\nmode = "both"')
    assert found.doubtful(DeclarationKind.SOURCE, str(FILE))
    assert not found.doubtful(DeclarationKind.SERVER, str(FILE)) and not found.doubtful(
        DeclarationKind.SOURCE, "/other.toml"
    )


def test_equal_texts_ask_for_the_same_wherever_they_stand() -> None:
    """A declaration that moves to another file is not another declaration."""
    text = '[[source]]\nroot = "/n"'
    [here], [there] = declared(text).sources, declared(text, Path("/b.toml")).sources
    assert here.text == there.text
    [other] = declared(f'{text}\nmode = "import_only"').sources
    assert here.text != other.text
