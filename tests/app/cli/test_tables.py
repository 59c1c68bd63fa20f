import pytest
from rich.console import Console

from app.cli.tables import print_table, table


def test_what_does_not_fit_is_folded_and_never_cut(capsys: pytest.CaptureFixture[str]) -> None:
    rows = table("id", "label", whole=("id",))
    rows.add_row("01ARZ3NDEKTSV4RRFFQ69G5FAV", "the reader at the front door " + "x" * 40)
    Console(width=50).print(rows)
    _, *lines = capsys.readouterr().out.splitlines()
    words = "".join(lines).split()
    assert words[0] == "01ARZ3NDEKTSV4RRFFQ69G5FAV"
    assert "".join(words[1:]) == "thereaderatthefrontdoor" + "x" * 40


def test_a_name_is_printed_as_it_is_whatever_brackets_and_colons_it_has(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("[red]anna[/]", "[/]", "[link=http://127.0.0.1]", "a:smile:b"):
        rows = table("name")
        rows.add_row(name)
        print_table(rows)
        assert capsys.readouterr().out.splitlines()[1].strip() == name
