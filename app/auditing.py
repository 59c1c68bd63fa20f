"""Label audits of the running service: one at a time in the background, the latest of each gallery kept in memory."""

import logging
import threading
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

from app.answers import ranked_sample, sample_answer, time_text
from app.errors import Overloaded, ServiceError, Stopped
from app.suspects import Findings, GalleryAudit, MergeCandidate, SuspectSample
from app.verdict import Line
from index.errors import GalleryError, IdentityNotFound, SampleNotFound
from index.gallery import GalleryStore
from index.labels import Answered
from index.records import RankedSample, SampleFilter

State: TypeAlias = Literal["none", "running", "done", "failed"]
log = logging.getLogger(__name__)
_KEPT = 16  # galleries
_WAITING = 4
_SHOWN = 3  # samples of an identity


class Job:
    """One audit: how far it is, and what it found."""

    def __init__(self) -> None:
        self.state: State = "running"
        self.done = 0
        self.total = 0
        self.started = datetime.now(UTC)
        self.finished: datetime | None = None
        self.findings: Findings | None = None
        self.detail: str | None = None

    def follow(self, done: int, total: int) -> None:
        """Note how far it is."""
        self.done, self.total = done, total

    def end(self, findings: Findings | None, detail: str | None = None) -> None:
        """Note how it ended."""
        self.findings, self.detail, self.finished = findings, detail, datetime.now(UTC)
        self.state = "failed" if findings is None else "done"


class LabelAudits:
    """The audits of all galleries."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="audit")
        self._stopped = threading.Event()
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._lock = threading.Lock()

    def start(self, store: GalleryStore, gallery: str, line: Line) -> Job:
        """Begin an audit, or return the one under way; raise `GalleryNotFound`, `Overloaded` when many wait."""
        store.identities(gallery, limit=1)
        with self._lock:
            job = self._jobs.get(gallery)
            if job is not None and job.state == "running":
                return job
            if sum(each.state == "running" for each in self._jobs.values()) > _WAITING:
                raise Overloaded(f"expected at most {_WAITING} audits to wait; try again when one has ended")
            job = self._jobs[gallery] = Job()
            self._jobs.move_to_end(gallery)
            self._prune()
        self._pool.submit(self._run, job, store, gallery, line)
        return job

    def latest(self, gallery: str) -> Job | None:
        """Return a gallery's latest audit."""
        with self._lock:
            return self._jobs.get(gallery)

    def forget(self, gallery: str) -> None:
        """Drop the audit of a gallery that was deleted: its people's names are in it."""
        with self._lock:
            self._jobs.pop(gallery, None)

    def close(self) -> None:
        """End what runs, and the thread."""
        self._stopped.set()
        self._pool.shutdown(cancel_futures=True)

    def _prune(self) -> None:
        for gallery in [name for name, job in self._jobs.items() if job.state != "running"][:-_KEPT]:
            del self._jobs[gallery]

    def _run(self, job: Job, store: GalleryStore, gallery: str, line: Line) -> None:
        try:
            audit = GalleryAudit(store, gallery, self._stopped)
            job.end(audit.run(line.threshold, job.follow, line.false_match_rate))
        except (GalleryError, ServiceError) as exc:
            if not isinstance(exc, Stopped):
                log.warning("the label audit of gallery %r failed: %s", gallery, exc)
            job.end(None, str(exc))
        except Exception:  # the boundary of the background: nothing in it may stop the service
            log.exception("the label audit of gallery %r failed", gallery)
            job.end(None, "it failed; the service's log says why")


def audit_answer(store: GalleryStore, gallery: str, job: Job | None, limit: int) -> dict[str, Any]:
    """Return an audit with what still holds of its findings; raise `GalleryNotFound`.

    What somebody has corrected, merged, deleted or called right since is left out, and so is all that another version
    found.
    """
    answered = store.labels.of(gallery)
    findings = None if job is None else job.findings
    if job is None or (findings is not None and findings.model_version != store.model_version):
        return _told(gallery, "none", answered=len(answered))
    told = _told(
        gallery,
        job.state,
        answered=len(answered),
        done=job.done,
        total=job.total,
        started=time_text(job.started),
        finished=time_text(job.finished),
        detail=job.detail,
    )
    return told if findings is None else {**told, **_found(store, findings, answered, limit)}


def _told(gallery: str, state: State, **more: object) -> dict[str, Any]:
    nothing = {"done": 0, "total": 0, "started": None, "finished": None, "detail": None, "model_version": None}
    counts = {"samples": 0, "identities": 0, "alone": 0, "threshold": None, "by_chance": None, "found": 0}
    return {"gallery": gallery, "state": state, **nothing, **counts, "items": [], "merges": [], **more}


def _found(store: GalleryStore, findings: Findings, answered: Answered, limit: int) -> dict[str, Any]:
    items: list[dict[str, Any]] = []
    merges: list[dict[str, Any]] = []
    for suspect in findings.suspects:
        if suspect.sample_id in answered.right:
            continue
        if len(items) < limit and (item := _suspect(store, findings, suspect)) is not None:
            items.append(item)
    for pair in findings.merges:
        if frozenset((pair.first, pair.second)) in answered.apart:
            continue
        if len(merges) < limit and (merge := _merge(store, findings.gallery, pair)) is not None:
            merges.append(merge)
    return {
        "model_version": findings.model_version,
        "samples": findings.samples,
        "identities": findings.identities,
        "alone": findings.alone,
        "threshold": findings.threshold,
        "by_chance": findings.by_chance,
        "found": len(findings.suspects),
        "items": items,
        "merges": merges,
    }


def _suspect(store: GalleryStore, findings: Findings, suspect: SuspectSample) -> dict[str, Any] | None:
    """Return a suspect with the samples of either identity that it is most alike, or None when it holds no more."""
    try:
        sample = store.get(findings.gallery, suspect.sample_id)
        own = _most_alike(store, findings, suspect.sample_id, suspect.identity)
        suggested = _most_alike(store, findings, suspect.sample_id, suspect.suggested)
    except SampleNotFound:
        return None
    if sample.identity != suspect.identity or not own or not suggested:
        return None
    return {
        "sample": sample_answer(sample),
        "suggested": suspect.suggested,
        "own_score": suspect.own_score,
        "suggested_score": suspect.suggested_score,
        "margin": suspect.margin,
        "own_samples": [ranked_sample(each) for each in own],
        "suggested_samples": [ranked_sample(each) for each in suggested],
    }


def _most_alike(store: GalleryStore, findings: Findings, sample_id: str, identity: str) -> tuple[RankedSample, ...]:
    embedding = store.embedding(findings.gallery, sample_id, model_version=findings.model_version)
    [ranking] = store.search(
        findings.gallery,
        embedding[None],
        model_version=findings.model_version,
        where=SampleFilter(identity=identity, exclude_sample=sample_id),
        top_k=1,
        samples_per_identity=_SHOWN,
    )
    return ranking.identities[0].samples if ranking.identities else ()


def _merge(store: GalleryStore, gallery: str, pair: MergeCandidate) -> dict[str, Any] | None:
    """Return two identities that may be one with some samples of each, or None when one is gone."""
    try:
        counts = [store.identity(gallery, name).samples for name in (pair.first, pair.second)]
    except IdentityNotFound:
        return None
    pages = [store.page(gallery, SampleFilter(identity=name), limit=_SHOWN).items for name in (pair.first, pair.second)]
    return {
        "score": pair.score,
        "identities": [
            {"identity": name, "count": count, "samples": [sample_answer(each) for each in shown]}
            for name, count, shown in zip((pair.first, pair.second), counts, pages, strict=True)
        ],
    }
