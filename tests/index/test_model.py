"""The store against a dictionary: any order of calls gives what plain Python would."""

import itertools
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from index.errors import IdentityNotFound
from index.records import EnrolStatus, Sample, SampleFilter
from tests.index.people import VERSION, open_store, sample, vector

NAMES = st.sampled_from(["a", "b", "c"])
CAMERAS = st.none() | st.sampled_from(["c1", "c2"])


class Gallery(RuleBasedStateMachine):
    """Keeps the dictionary; `samples` are ids that were created and not deleted by name."""

    keys: Bundle[str] = Bundle("keys")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="gallery-"))
        self.store = open_store(self.folder)
        self.held: dict[str, Sample] = {}

    @rule(target=keys, number=st.integers(0, 5), identity=NAMES, camera=CAMERAS)
    def enrol(self, number: int, identity: str, camera: str | None) -> str:
        (outcome,) = self.store.enrol("default", [sample(number, identity, camera=camera)], model_version=VERSION)
        key = outcome.sample_id or ""
        made = self.store.get("default", key)
        same = [
            old.sample_id
            for old in self.held.values()
            if (old.digest, old.identity, old.camera) == (made.digest, identity, camera)
        ]
        assert outcome.status is (EnrolStatus.DUPLICATE if same else EnrolStatus.CREATED)
        assert not same or key == min(same)
        self.held[key] = made
        assert (made.identity, made.camera) == (identity, camera)
        return key

    @rule(key=consumes(keys))
    def delete(self, key: str) -> None:
        if key in self.held:
            self.store.delete("default", key)
            del self.held[key]

    @rule(key=keys, identity=NAMES, camera=CAMERAS)
    def update(self, key: str, identity: str, camera: str | None) -> None:
        if key in self.held:
            changed = self.store.update("default", key, {"identity": identity, "camera": camera})
            assert changed == replace(self.held[key], identity=identity, camera=camera)
            self.held[key] = changed

    @rule(old=NAMES, new=NAMES)
    def rename(self, old: str, new: str) -> None:
        try:
            self.store.rename("default", old, new)
        except IdentityNotFound:
            assert old not in {item.identity for item in self.held.values()}
        for key, item in self.held.items():
            if item.identity == old:
                self.held[key] = replace(item, identity=new)

    @rule(identity=NAMES)
    def erase(self, identity: str) -> None:
        gone = [key for key, item in self.held.items() if item.identity == identity]
        try:
            erased = self.store.erase("default", identity)
        except IdentityNotFound:
            assert gone == []
            return
        assert erased.samples_deleted == len(gone)
        assert erased.verified
        for key in gone:
            del self.held[key]

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = open_store(self.folder)

    @invariant()
    def everything_is_as_it_was_left(self) -> None:
        page = self.store.page("default", SampleFilter(), limit=1000)
        assert {item.sample_id: item for item in page.items} == self.held
        people = self.store.identities("default", limit=1000).items
        counted = {
            name: len(list(group)) for name, group in itertools.groupby(sorted(i.identity for i in self.held.values()))
        }
        assert {person.identity: person.samples for person in people} == counted
        (answer,) = self.store.search(
            "default", vector(1)[None], model_version=VERSION, top_k=1000, samples_per_identity=100
        )
        shown = {item.sample.sample_id: item.sample for person in answer.identities for item in person.samples}
        assert shown == self.held

    def teardown(self) -> None:
        assert self.store.check().problems == ()
        self.store.close()
        shutil.rmtree(self.folder)


Gallery.TestCase.settings = settings(max_examples=8, stateful_step_count=20, deadline=None)
TestGallery = Gallery.TestCase
