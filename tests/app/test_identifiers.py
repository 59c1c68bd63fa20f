import time

from app.identifiers import new_ulid


def test_identifiers_are_unique_and_sort_by_time() -> None:
    first = new_ulid()
    time.sleep(0.003)
    later = {new_ulid() for _ in range(1000)}
    assert len(later) == 1000
    assert all(first < each for each in later)
    assert all(len(each) == 26 and each.isalnum() and each.upper() == each for each in later)
