"""A program that writes to a gallery until it is killed, and says what it does and what was acknowledged."""

import json
import random
import sys
from pathlib import Path

from index.gallery import GalleryStore
from index.records import SampleFilter
from index.vectors import IndexOptions
from tests.index.people import VERSION, open_store, sample

SOON = IndexOptions(recall=0.5, exact_rows=650)  # so that codes are learnt, and space is taken back beside them


def tell(**words: object) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def enrol(store: GalleryStore, dice: random.Random) -> None:
    first, count = dice.randrange(10**9), dice.choice([1, 1, 5, 40])
    items = [sample(first + step, f"p{dice.randrange(30)}") for step in range(count)]
    tell(op="enrol", state="begun")
    outcome = store.enrol("default", items, model_version=VERSION)
    made = [
        [item.sample_id, new.identity, first + step]
        for step, (item, new) in enumerate(zip(outcome, items, strict=True))
    ]
    tell(op="enrol", state="done", made=made)


def delete(store: GalleryStore, dice: random.Random) -> None:
    page = store.page("default", SampleFilter(), limit=200).items
    if page:
        key = dice.choice(page).sample_id
        tell(op="delete", state="begun", sample=key)
        store.delete("default", key)
        tell(op="delete", state="done", sample=key)


def erase(store: GalleryStore, dice: random.Random) -> None:
    people = store.identities("default", limit=100).items
    if people:
        name = dice.choice(people).identity
        tell(op="erase", state="begun", identity=name)
        erased = store.erase("default", name)
        tell(op="erase", state="done", identity=name, verified=erased.verified)


def settle(store: GalleryStore, _dice: random.Random) -> None:
    store.indexes.settle()


def main(folder: Path, seed: int) -> None:
    dice = random.Random(seed)
    store = open_store(folder, index=SOON)
    tell(op="open", state="done")
    for _ in range(10_000):
        work = dice.choices([enrol, delete, erase, settle, None], [8, 4, 1, 1, 1])[0]
        if work is None:  # snapshots are written on closing
            store.close()
            store = open_store(folder, index=SOON)
        else:
            work(store, dice)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
