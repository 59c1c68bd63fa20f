"""The catalogue's tables. Times are UTC microseconds, digests are raw sha256, vectors are float32 bytes."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    func,
)

HEAD = "0008"  # the revision that these tables are at; the newest file in `revisions/versions`

# SQLite makes only a column of the type INTEGER its row id.
Key = BigInteger().with_variant(Integer(), "sqlite")


def _name(length: int) -> String:
    """Return a text that sorts by code point on every database; a server's own order changes with its releases."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

versions = Table(
    "versions",
    metadata,
    Column("id", Key, primary_key=True),
    Column("version", _name(128), nullable=False, unique=True),
    Column("dim", Integer, nullable=False),
)

# One row. Every write transaction reads it first and takes its numbers from it, so numbers are never used
# twice and commit in order.
ledger = Table(
    "ledger",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1", name="one_row"), primary_key=True),
    Column("store_id", String(32), nullable=False),  # so that a snapshot of another store is told apart
    Column("serving_version_id", ForeignKey("versions.id")),
    Column("last_seq", BigInteger, nullable=False),
    Column("last_sample", BigInteger, nullable=False),
)

galleries = Table(
    "galleries",
    metadata,
    Column("id", Key, primary_key=True),
    Column("name", _name(64), nullable=False, unique=True),
    Column("retention_days", Integer),
    Column("store_images", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)
CLOSED = "-"  # begins the name of a gallery that is being deleted, and of no other
STANDING = func.substr(galleries.c.name, 1, 1) != CLOSED

identities = Table(
    "identities",
    metadata,
    Column("id", Key, primary_key=True),
    Column("gallery_id", ForeignKey("galleries.id"), nullable=False),
    Column("name", _name(256), nullable=False),
    UniqueConstraint("gallery_id", "name"),
    sqlite_autoincrement=True,
)

cameras = Table(
    "cameras",
    metadata,
    Column("id", Key, primary_key=True),
    Column("gallery_id", ForeignKey("galleries.id"), nullable=False),
    Column("name", _name(256), nullable=False),
    UniqueConstraint("gallery_id", "name"),
    sqlite_autoincrement=True,
)

samples = Table(
    "samples",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=False),  # taken from the ledger, never used again
    Column("sample_id", _name(26), nullable=False, unique=True),
    Column("gallery_id", ForeignKey("galleries.id"), nullable=False),
    Column("identity_id", ForeignKey("identities.id"), nullable=False),
    Column("camera_id", ForeignKey("cameras.id")),
    Column("captured_at", BigInteger),
    Column("attributes", Text, nullable=False),
    Column("external_id", _name(256)),
    Column("digest", LargeBinary(32), nullable=False),
    Column("picture_stored", Boolean, nullable=False),
    Column("enrolled_at", BigInteger, nullable=False),
    # 0 as enrolled. A sample that a merge or a change brings beside an equal one keeps its own id here:
    # both stay, and the same content still cannot be enrolled twice.
    Column("copy", BigInteger, nullable=False, default=0),
    UniqueConstraint("gallery_id", "external_id"),
    Index("ix_samples_gallery_id_id", "gallery_id", "id"),
    Index("ix_samples_gallery_id_enrolled_at", "gallery_id", "enrolled_at"),
    Index("ix_samples_identity_id_captured_at_camera_id", "identity_id", "captured_at", "camera_id"),
    Index("ix_samples_camera_id", "camera_id"),
)
Index(
    "uq_samples_content",
    samples.c.digest,
    samples.c.gallery_id,
    samples.c.identity_id,
    func.coalesce(samples.c.camera_id, 0),  # two samples without a camera count as the same camera
    samples.c.copy,
    unique=True,
)

# One for each version that the sample has one of. An empty vector: the sample cannot be embedded with that version,
# and the migration to it was told to leave such samples out.
embeddings = Table(
    "embeddings",
    metadata,
    Column("sample_id", ForeignKey("samples.id"), primary_key=True, autoincrement=False),
    Column("version_id", ForeignKey("versions.id"), primary_key=True, autoincrement=False),
    Column("vector", LargeBinary, nullable=False),
)

# One row for each top-level attribute of a sample: a hash of gallery, key and canonical JSON value.
attribute_pairs = Table(
    "attribute_pairs",
    metadata,
    Column("pair", LargeBinary(16), primary_key=True),
    Column("sample_id", ForeignKey("samples.id"), primary_key=True, autoincrement=False),
    Index("ix_attribute_pairs_sample_id", "sample_id"),
    sqlite_with_rowid=False,
)

# The moves of all galleries from one model version to another; at most one of them is under way. `position` is the
# last sample that was looked at. Who does the work holds it until `owned_until`. `freed`: the vectors that the move
# left over are gone.
migrations = Table(
    "migrations",
    metadata,
    Column("id", String(26), primary_key=True),
    Column("source_id", ForeignKey("versions.id"), nullable=False),
    Column("target_id", ForeignKey("versions.id"), nullable=False),
    Column("state", String(16), nullable=False),
    Column("leave_out", Boolean, nullable=False),
    Column("forced", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Column("total", BigInteger, nullable=False),
    Column("done", BigInteger, nullable=False),
    Column("left_out", BigInteger, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("rate", Float),  # samples a second
    Column("disk_bytes", BigInteger, nullable=False),  # that the target's vectors were estimated to take
    Column("validation", Text),
    Column("error", Text),
    Column("owner", String(64)),
    Column("owned_until", BigInteger),
    Column("freed", Boolean, nullable=False),
)

# What the vector index follows: sample `sample` of that gallery is to be looked at again.
# No sample: the whole gallery is. The log holds numbers only, so it outlives an erasure.
change_log = Table(
    "change_log",
    metadata,
    Column("seq", Key, primary_key=True, autoincrement=False),
    Column("gallery_id", BigInteger, nullable=False),
    Column("sample", BigInteger),
)

# Pictures to be removed once no sample uses them, so that a removal that was cut short is taken up again.
picture_removals = Table(
    "picture_removals",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),
    sqlite_with_rowid=False,
)

# Pictures that an enrolment stores before its samples are committed, so that those of one that was killed in between
# are removed at the next opening. One that still runs elsewhere looks before it commits, and stores them again.
awaited_pictures = Table(
    "awaited_pictures",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),
    sqlite_with_rowid=False,
)

# Who deleted, when, where and how many; it names no identity, no sample and no file, so it outlives an erasure.
# `actor` is the id of the key that asked for it, `key_id` that of a key which was made or revoked, `migration_id` that
# of a migration which was begun, switched or ended; its row stays.
# `pictures` and `verified` come once the traces are cleared: an entry without them was cut short, and the next
# opening removes its pictures. `verified` stays empty where nothing is read back.
audit_log = Table(
    "audit_log",
    metadata,
    Column("id", Key, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("actor", String(64)),
    Column("action", String(32), nullable=False),
    Column("gallery_id", BigInteger),
    Column("gallery", String(64)),
    Column("samples", BigInteger, nullable=False),
    Column("pictures", BigInteger),
    Column("vectors", BigInteger, nullable=False),
    Column("verified", Boolean),
    Column("key_id", String(12)),
    Column("migration_id", String(26)),
    sqlite_autoincrement=True,
)

# What people answered about labels that looked wrong: that a sample is of the identity that it had then, and that two
# identities, the smaller number first, are two people. Numbers only, none of which is used again: an answer whose
# sample or identity is gone names nobody and says nothing.
right_labels = Table(
    "right_labels",
    metadata,
    Column("sample", BigInteger, primary_key=True, autoincrement=False),
    Column("identity", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
people_apart = Table(
    "people_apart",
    metadata,
    Column("first", BigInteger, primary_key=True, autoincrement=False),
    Column("second", BigInteger, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)

# The backups that were made of this store, so that an erasure can tell which still hold what it erased: those
# whose last sample is not below it. No numbers: it is being made, or was cut short.
backups = Table(
    "backups",
    metadata,
    Column("name", _name(64), primary_key=True),
    Column("made_at", BigInteger, nullable=False),
    Column("last_seq", BigInteger),
    Column("last_sample", BigInteger),
)

# Who may call: a salted hash of each key's secret, and what the key is good for. A row is never removed, so that a
# service which had keys is never open again.
keys = Table(
    "keys",
    metadata,
    Column("id", String(12), primary_key=True),
    Column("salt", LargeBinary(16), nullable=False),
    Column("digest", LargeBinary(32), nullable=False),
    Column("scopes", String(32), nullable=False),  # separated by spaces
    Column("gallery", String(64)),  # by name
    Column("rate", Float),  # requests a second
    Column("label", String(256)),
    Column("created_at", BigInteger, nullable=False),
    Column("last_used_at", BigInteger),
    Column("revoked_at", BigInteger),
)
