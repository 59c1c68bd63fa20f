"""The store looks at itself: rows, pictures, vectors, index and snapshot against each other."""

import json

import numpy as np
from sqlalchemy import Connection, func, select

from index import catalogue, ledger, removal, values
from index.database import Database, chunks
from index.errors import GalleryError, PictureNotStored, StoreDamaged
from index.follower import Shard, read_facts, read_vectors
from index.pictures import PictureStore
from index.records import CheckReport, Embedding
from index.reembedding import left_out_among
from index.roster import Facts
from index.schema import STANDING, attribute_pairs, galleries, identities, samples
from index.version_index import VersionIndex

_SHOWN = 100  # problems that are told one by one
_BLOCK = 2048


class Check:
    """One check of everything; what is wrong is collected, not raised."""

    def __init__(self, database: Database, pictures: PictureStore, index: VersionIndex) -> None:
        self._database = database
        self._pictures = pictures
        self._snapshots = index.snapshots
        self._follower = index.follower
        self._problems: list[str] = []
        self._samples = self._vectors = 0

    def run(self) -> CheckReport:
        """Look at everything."""
        for problem in self._database.damage():
            self._problems.append(f"catalogue: {problem}")
        while not self._compare():
            pass
        looked_at = self._look_at_pictures()
        orphans = self._count_orphans()
        first = tuple(self._problems[:_SHOWN])
        return CheckReport(self._samples, looked_at, self._vectors, orphans, first, len(self._problems))

    def _compare(self) -> bool:
        """Compare catalogue and index at one moment; False when the index has moved on meanwhile."""
        with self._database.read() as connection:
            last = ledger.last_seq(connection)
            self._follower.catch_up(connection, last)
            with self._follower.lock.reading():
                if self._follower.applied != last:
                    return False
                self._look_at_ledger(connection)
                present = {number: name for name, number in catalogue.gallery_numbers(connection).items()}
                for number, shard in self._follower.shards.items():
                    if number not in present and len(shard.roster):
                        self._problems.append(f"index: holds {len(shard.roster)} samples of a gallery that is gone")
                for number, name in present.items():
                    self._look_at_gallery(connection, number, name)
        return True

    def _look_at_ledger(self, connection: Connection) -> None:
        last = ledger.last_sample(connection)
        highest = connection.scalar(select(func.max(samples.c.id))) or 0
        if highest > last:
            self._problems.append(f"catalogue: sample number {highest} is above the last that was given out, {last}")
        empty = select(func.count()).where(identities.c.id.not_in(select(samples.c.identity_id)))
        if count := connection.scalar(empty):
            self._problems.append(f"catalogue: {count} identities have no sample")

    def _look_at_gallery(self, connection: Connection, number: int, name: str) -> None:
        facts = read_facts(connection, samples.c.gallery_id == number)
        shard = self._follower.shard(number)
        held = shard.roster.facts.take(np.flatnonzero(shard.roster.live))
        self._samples += len(facts.ids)
        for key in np.setdiff1d(held.ids, facts.ids).tolist():
            self._problems.append(f"gallery {name}: the index holds sample {key}, which is not in the catalogue")
        for start in range(0, len(facts.ids), _BLOCK):
            part = facts.take(np.arange(start, min(start + _BLOCK, len(facts.ids))))
            self._look_at_vectors(connection, name, shard, part)
            self._look_at_attributes(connection, number, name, part)
        self._look_at_snapshot(connection, number, name)

    def _look_at_vectors(self, connection: Connection, name: str, shard: Shard, facts: Facts) -> None:
        stored = read_vectors(connection, self._follower.version, facts.ids.tolist())
        absent = [key for key in facts.ids.tolist() if key not in stored]
        left_out = left_out_among(connection, self._follower.version.number, absent)
        rows = shard.roster.find(facts.ids)
        held = shard.roster.facts
        for place, (key, row) in enumerate(zip(facts.ids.tolist(), rows.tolist(), strict=True)):
            vector = stored.get(key)
            if vector is None and key in left_out:
                continue
            if vector is None:
                self._tell(connection, name, key, "has no whole embedding of the serving version")
                continue
            self._vectors += 1
            if not _unit(vector):
                self._tell(connection, name, key, "has an embedding that is not finite and of length 1")
            if row < 0:
                self._tell(connection, name, key, "is not in the index")
            elif shard.vectors.read(rows[place : place + 1]).tobytes() != shard.vectors.stored(vector).tobytes():
                self._tell(connection, name, key, "has another vector in the index")
            elif any(column[row] != part[place] for column, part in zip(held, facts, strict=True)):
                self._tell(connection, name, key, "has old facts in the index")

    def _look_at_attributes(self, connection: Connection, number: int, name: str, facts: Facts) -> None:
        for keys in chunks(facts.ids.tolist()):
            found: dict[int, set[bytes]] = {}
            pairs = select(attribute_pairs.c.sample_id, attribute_pairs.c.pair)
            for key, pair in connection.execute(pairs.where(attribute_pairs.c.sample_id.in_(keys))):
                found.setdefault(key, set()).add(pair)
            texts = select(samples.c.id, samples.c.sample_id, samples.c.attributes).where(samples.c.id.in_(keys))
            for key, sample_id, text in connection.execute(texts):
                try:
                    attributes = json.loads(text)
                except ValueError:
                    self._problems.append(
                        f"gallery {name}: the attributes of sample {sample_id} are damaged: replace them, or delete it"
                    )
                    continue
                if set(values.pairs(number, attributes)) != found.get(key, set()):
                    self._tell(connection, name, key, "is not found by its own attributes")

    def _tell(self, connection: Connection, gallery: str, key: int, problem: str) -> None:
        """Note what is wrong with a sample of the catalogue, by the id that its users know."""
        sample_id = connection.scalar(select(samples.c.sample_id).where(samples.c.id == key))
        self._problems.append(f"gallery {gallery}: sample {sample_id} {problem}")

    def _look_at_snapshot(self, connection: Connection, number: int, name: str) -> None:
        try:
            snapshot = self._snapshots.read(number)
        except StoreDamaged as exc:
            self._problems.append(f"gallery {name}: snapshot: {exc}")
            return
        if snapshot is None or snapshot.stamp.dim != self._follower.version.dim:
            return
        keeps = self._follower.shard(number).vectors.stored
        stored = read_vectors(connection, self._follower.version, snapshot.facts.ids.tolist())
        for key, vector in zip(snapshot.facts.ids.tolist(), snapshot.vectors, strict=True):
            if key not in stored or keeps(stored[key]).tobytes() != keeps(vector).tobytes():
                self._problems.append(
                    f"gallery {name}: the snapshot holds another vector for sample {key}, or a deleted one"
                )

    def _look_at_pictures(self) -> int:
        """Read every picture that a sample uses."""
        with self._database.read() as connection:
            digests = connection.scalars(select(samples.c.digest).where(samples.c.picture_stored).distinct()).all()
        for digest in digests:
            try:
                self._pictures.get(digest)
            except (PictureNotStored, StoreDamaged) as exc:
                state = "is missing" if isinstance(exc, PictureNotStored) else "was altered"
                self._tell_picture(digest, state)
            except GalleryError as exc:
                self._problems.append(f"picture {digest.hex()}: {exc}")
        return len(digests)

    def _count_orphans(self) -> int:
        """Count the pictures that no sample uses; those of an enrolment under way are among them."""
        orphans = 0
        try:
            for digests in chunks(self._pictures.stored()):
                with self._database.read() as connection:
                    orphans += len(removal.unused(connection, digests))
        except GalleryError as exc:
            self._problems.append(f"pictures: {exc}")
        return orphans

    def _tell_picture(self, digest: bytes, state: str) -> None:
        """Tell what is wrong with a picture, unless it is not to be there any more: erased while we looked."""
        query = select(samples.c.sample_id, galleries.c.name).join(galleries, galleries.c.id == samples.c.gallery_id)
        using = query.where(samples.c.digest == digest, samples.c.picture_stored, STANDING).limit(1)
        with self._database.read() as connection:
            row = connection.execute(using).first()
        if row is not None:
            self._problems.append(
                f"picture {digest.hex()} of sample {row.sample_id} in gallery {row.name} {state}: enrol the very same "
                "file again, or delete the sample"
            )


def _unit(vector: Embedding) -> bool:
    length = float(np.linalg.norm(vector.astype(np.float64)))
    return abs(length - 1.0) <= values.UNIT_TOLERANCE  # false for NaN


def remove_orphans(database: Database, pictures: PictureStore) -> int:
    """Remove pictures that no sample uses, such as a crash leaves; count them."""
    pictures.sweep()
    removed = 0
    for digests in chunks(pictures.stored()):
        with database.write() as connection:  # no enrolment commits meanwhile; one under way stores them again
            removed += len(pictures.remove(removal.unused(connection, digests)))
    return removed
