from collections import Counter
from datetime import UTC, datetime

import pytest

from app.dataset import LeftOut, Selection, Split, assign, choose, is_held_out, pseudonyms, require_usable
from app.errors import ExportRefused
from index.records import Sample

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def sample(number: int, identity: str, camera: str | None = None, *, digest: str = "", stored: bool = True) -> Sample:
    name = digest or f"{number:064x}"
    return Sample(f"s{number:03d}", "default", identity, camera, None, {}, None, name, stored, NOW)


def crowd(people: int = 20) -> list[Sample]:
    return [sample(4 * who + n, f"p{who}", f"c{n % 2}") for who in range(people) for n in range(4)]


def test_everyone_is_in_one_split_and_stays_there_when_more_come() -> None:
    wanted = Selection(holdout=0.4, seed=3)
    few, many = (dict[str, set[Split]](), dict[str, set[Split]]())
    for found, people in ((few, 20), (many, 60)):
        for picture, split in assign(choose(crowd(people), wanted, Counter()), wanted):
            found.setdefault(picture.identity, set()).add(split)
    assert all(splits == {Split.TRAIN} or Split.TRAIN not in splits for splits in many.values())
    assert all(many[identity] == splits for identity, splits in few.items())
    held_out = sum(Split.TRAIN not in splits for splits in many.values())
    assert 10 < held_out < 38
    other = Selection(holdout=0.4, seed=4)
    assert {who for who in many if is_held_out(who, other)} != {who for who in many if is_held_out(who, wanted)}


def test_queries_are_one_by_camera_and_can_be_answered() -> None:
    wanted = Selection(holdout=0.5)
    rows = list(assign(choose(crowd(), wanted, Counter()), wanted))
    held_out = {picture.identity for picture, split in rows if split is not Split.TRAIN}
    for identity in held_out:
        queries = [each for each, split in rows if each.identity == identity and split is Split.TEST]
        assert sorted(each.camera or "" for each in queries) == ["c0", "c1"]
        assert sum(each.identity == identity and split is Split.GALLERY for each, split in rows) == 2


def test_who_is_seen_by_one_camera_is_never_a_query() -> None:
    wanted = Selection(holdout=0.9)
    alone = [sample(1000 + n, "alone", "c0") for n in range(3)]
    assert is_held_out("alone", wanted)
    splits = {
        split
        for each, split in assign(choose([*crowd(), *alone], wanted, Counter()), wanted)
        if each.identity == "alone"
    }
    assert splits == {Split.GALLERY}


def test_without_cameras_every_held_out_picture_is_query_and_gallery() -> None:
    wanted = Selection(holdout=0.5, cameras=False)
    assert {split for _, split in assign(choose(crowd(), wanted, Counter()), wanted)} == {Split.TRAIN, Split.TEST}


def test_what_is_left_out_is_counted_by_reason() -> None:
    left_out: Counter[LeftOut] = Counter()
    samples = [
        sample(1, "a", "c1"),
        sample(2, "a", "c2"),
        sample(3, "a", "c2", stored=False),
        sample(4, "a", "c1", digest=f"{1:064x}"),
        sample(5, "b", "c1", digest="f" * 64),
        sample(6, "c", "c1", digest="f" * 64),
        sample(7, "a"),
        sample(8, "d", "c1"),
    ]
    assert [each.sample_id for each in choose(samples, Selection(), left_out)] == ["s001", "s002"]
    assert left_out == {
        LeftOut.NO_PICTURE: 1,
        LeftOut.SAME_PICTURE: 1,
        LeftOut.TWO_IDENTITIES: 2,
        LeftOut.NO_CAMERA: 1,
        LeftOut.FEW_SAMPLES: 1,
    }


def test_what_cannot_be_learnt_from_is_refused() -> None:
    def check(samples: list[Sample], wanted: Selection) -> None:
        require_usable(choose(samples, wanted, Counter()), wanted)

    check(crowd(), Selection(holdout=0))
    tested = next(f"p{n}" for n in range(20) if is_held_out(f"p{n}", Selection()))
    taught = [each for each in crowd() if not is_held_out(each.identity, Selection())]
    with pytest.raises(ExportRefused, match=r"expected samples of two cameras or more, found 2 of one"):
        check([sample(1, "a", "c1"), sample(2, "a", "c1")], Selection())
    with pytest.raises(ExportRefused, match=r"expected 2 identities to train on.* found 0"):
        check([], Selection())
    with pytest.raises(ExportRefused, match=r"expected 1 identities to test with.* of which 0 are"):
        check([*taught, sample(900, tested, "c1"), sample(901, tested, "c1")], Selection())


def test_numbers_do_not_follow_the_names() -> None:
    pictures = choose(crowd(), Selection(), Counter())
    numbers = pseudonyms(pictures, 0)
    assert sorted(numbers.values()) == [f"{n:04d}" for n in range(1, 21)]
    assert sorted(numbers, key=numbers.__getitem__) != sorted(numbers)
