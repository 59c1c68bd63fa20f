from app.cli.words import count


def test_one_is_no_plural() -> None:
    told = [count(number, "sample") for number in (0, 1, 2)]
    assert told == ["0 samples", "1 sample", "2 samples"]
    assert [count(number, "person", "people") for number in (1, 2)] == ["1 person", "2 people"]
