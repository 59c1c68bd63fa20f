"""The gallery's first schema."""

from secrets import token_hex

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

Key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _name(length: int) -> sa.String:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    _versions()
    _galleries()
    _samples()
    _vectors()
    _log()


def downgrade() -> None:
    raise NotImplementedError("there is nothing before the first schema")


def _versions() -> None:
    op.create_table(
        "versions",
        sa.Column("id", Key, nullable=False),
        sa.Column("version", _name(128), nullable=False),
        sa.Column("dim", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_versions"),
        sa.UniqueConstraint("version", name="uq_versions_version"),
    )
    ledger = op.create_table(
        "ledger",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("store_id", sa.String(32), nullable=False),
        sa.Column("serving_version_id", Key),
        sa.Column("last_seq", sa.BigInteger, nullable=False),
        sa.Column("last_sample", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ledger"),
        sa.ForeignKeyConstraint(["serving_version_id"], ["versions.id"], name="fk_ledger_serving_version_id"),
        sa.CheckConstraint("id = 1", name=op.f("ck_ledger_one_row")),
    )
    first = {"id": 1, "store_id": token_hex(16), "last_seq": 0, "last_sample": 0}
    op.bulk_insert(ledger, [first])


def _galleries() -> None:
    op.create_table(
        "galleries",
        sa.Column("id", Key, nullable=False),
        sa.Column("name", _name(64), nullable=False),
        sa.Column("retention_days", sa.Integer),
        sa.Column("store_images", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_galleries"),
        sa.UniqueConstraint("name", name="uq_galleries_name"),
        sqlite_autoincrement=True,
    )
    for name in ("identities", "cameras"):
        op.create_table(
            name,
            sa.Column("id", Key, nullable=False),
            sa.Column("gallery_id", Key, nullable=False),
            sa.Column("name", _name(256), nullable=False),
            sa.PrimaryKeyConstraint("id", name=f"pk_{name}"),
            sa.ForeignKeyConstraint(["gallery_id"], ["galleries.id"], name=f"fk_{name}_gallery_id"),
            sa.UniqueConstraint("gallery_id", "name", name=f"uq_{name}_gallery_id_name"),
            sqlite_autoincrement=True,
        )


def _samples() -> None:
    op.create_table(
        "samples",
        sa.Column("id", Key, nullable=False, autoincrement=False),
        sa.Column("sample_id", _name(26), nullable=False),
        sa.Column("gallery_id", Key, nullable=False),
        sa.Column("identity_id", Key, nullable=False),
        sa.Column("camera_id", Key),
        sa.Column("captured_at", sa.BigInteger),
        sa.Column("attributes", sa.Text, nullable=False),
        sa.Column("external_id", _name(256)),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("picture_stored", sa.Boolean, nullable=False),
        sa.Column("enrolled_at", sa.BigInteger, nullable=False),
        sa.Column("copy", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_samples"),
        sa.UniqueConstraint("sample_id", name="uq_samples_sample_id"),
        sa.UniqueConstraint("gallery_id", "external_id", name="uq_samples_gallery_id_external_id"),
        sa.ForeignKeyConstraint(["gallery_id"], ["galleries.id"], name="fk_samples_gallery_id"),
        sa.ForeignKeyConstraint(["identity_id"], ["identities.id"], name="fk_samples_identity_id"),
        sa.ForeignKeyConstraint(["camera_id"], ["cameras.id"], name="fk_samples_camera_id"),
    )
    content: list[str | sa.TextClause] = [
        "digest",
        "gallery_id",
        "identity_id",
        sa.text("coalesce(camera_id, 0)"),
        "copy",
    ]
    op.create_index("uq_samples_content", "samples", content, unique=True)
    for columns in (
        ["gallery_id", "id"],
        ["gallery_id", "captured_at"],
        ["identity_id", "captured_at", "camera_id"],
        ["camera_id"],
    ):
        op.create_index("_".join(["ix_samples", *columns]), "samples", columns)


def _vectors() -> None:
    op.create_table(
        "embeddings",
        sa.Column("sample_id", Key, nullable=False),
        sa.Column("version_id", Key, nullable=False),
        sa.Column("vector", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("sample_id", "version_id", name="pk_embeddings"),
        sa.ForeignKeyConstraint(["sample_id"], ["samples.id"], name="fk_embeddings_sample_id"),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name="fk_embeddings_version_id"),
    )
    op.create_table(
        "attribute_pairs",
        sa.Column("pair", sa.LargeBinary(16), nullable=False),
        sa.Column("sample_id", Key, nullable=False),
        sa.PrimaryKeyConstraint("pair", "sample_id", name="pk_attribute_pairs"),
        sa.ForeignKeyConstraint(["sample_id"], ["samples.id"], name="fk_attribute_pairs_sample_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_attribute_pairs_sample_id", "attribute_pairs", ["sample_id"])


def _log() -> None:
    op.create_table(
        "change_log",
        sa.Column("seq", Key, nullable=False, autoincrement=False),
        sa.Column("gallery_id", sa.BigInteger, nullable=False),
        sa.Column("sample", sa.BigInteger),
        sa.PrimaryKeyConstraint("seq", name="pk_change_log"),
    )
    op.create_table(
        "picture_removals",
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_picture_removals"),
        sqlite_with_rowid=False,
    )
