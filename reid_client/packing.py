"""Samples into requests: each within the service's limits, and each sample with an outcome of its own."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from reid_client import calls
from reid_client.calls import Call
from reid_client.errors import ReidError, TooLarge, UnexpectedAnswer
from reid_client.records import EnrolledItem, Enrolment
from reid_client.samples import MB, NewSample, Outcome, Ready, prepare, rejected

MAX_IMAGES = 256
MAX_REQUEST = 64 * MB
MAX_TEXT = 4 * MB  # of all metadata together
_PART = 512  # more than a part's boundary and headers take
_REST = 4096  # more than what is neither picture nor metadata takes


@dataclass(slots=True)
class Batch:
    """What one request takes, and what was rejected on the way to it."""

    ready: list[Ready] = field(default_factory=list)
    refused: list[Outcome] = field(default_factory=list)
    size: int = _REST
    text_size: int = 2

    def __len__(self) -> int:
        return len(self.ready) + len(self.refused)

    def has_room(self, item: Ready) -> bool:
        """Tell whether a request stays within the limits with this one too."""
        size, text = self.size + len(item.data) + item.text_size + _PART, self.text_size + item.text_size
        return size <= MAX_REQUEST and text <= MAX_TEXT

    def add(self, item: Ready | Outcome) -> None:
        """Take one more."""
        if isinstance(item, Outcome):
            self.refused.append(item)
            return
        self.ready.append(item)
        self.size += len(item.data) + item.text_size + _PART
        self.text_size += item.text_size


class Packer:
    """Fills batches in the order of the samples; holds no more than one."""

    def __init__(self, count: int = MAX_IMAGES) -> None:
        if not 1 <= count <= MAX_IMAGES:
            raise ValueError(f"expected a batch of 1 to {MAX_IMAGES} pictures, found {count}")
        self._count = count
        self._batch = Batch()

    def add(self, item: Ready | Outcome) -> Batch | None:
        """Take one; return the batch before it when that is full."""
        full = len(self._batch) >= self._count or (isinstance(item, Ready) and not self._batch.has_room(item))
        done = self.rest() if full else None
        self._batch.add(item)
        return done

    def rest(self) -> Batch | None:
        """Return what is left, None when that is nothing."""
        done, self._batch = self._batch, Batch()
        return done if len(done) else None


def packed(samples: Iterable[NewSample], count: int = MAX_IMAGES) -> Iterator[Batch]:
    """Read the samples' pictures and yield full batches, then the rest."""
    packer = Packer(count)
    for index, sample in enumerate(samples):
        if (batch := packer.add(prepare(index, sample))) is not None:
            yield batch
    if (batch := packer.rest()) is not None:
        yield batch


class Enrolling:
    """One batch on its way: halved as long as the request as a whole is refused for what is in it."""

    def __init__(self, batch: Batch, gallery: str | None) -> None:
        self._gallery = gallery
        self._outcomes = list(batch.refused)
        self._waiting = [batch.ready] if batch.ready else []
        self._sent: list[Ready] = []

    def next(self) -> Call[Enrolment] | None:
        """Return the next request, None when every sample has its outcome."""
        if not self._waiting:
            return None
        self._sent = self._waiting.pop()
        return calls.enrol([each.data for each in self._sent], [each.entry for each in self._sent], self._gallery)

    def took(self, answer: Enrolment) -> None:
        """Note what became of the request's samples."""
        found = {item.index: item for item in answer.items}
        if found.keys() != set(range(len(self._sent))):
            detail = f"expected an outcome of each of {len(self._sent)} pictures, found {len(answer.items)}"
            raise UnexpectedAnswer(detail, code="unexpected_answer")
        self._outcomes += [_outcome(each, found[index]) for index, each in enumerate(self._sent)]

    def refused(self, error: ReidError) -> None:
        """Halve the request, or reject its only sample; raise an error that is not of what is in it."""
        if not isinstance(error, TooLarge) and error.code != "invalid_metadata":
            raise error
        if len(self._sent) == 1:
            only = self._sent[0]
            self._outcomes.append(rejected(only.index, only.name, error.code, error.detail))
            return
        half = len(self._sent) // 2
        self._waiting += [self._sent[half:], self._sent[:half]]

    def outcomes(self) -> list[Outcome]:
        """Return what became of each, in order."""
        return sorted(self._outcomes, key=lambda outcome: outcome.index)


def _outcome(sample: Ready, item: EnrolledItem) -> Outcome:
    return Outcome(sample.index, sample.name, item.status, item.sample_id, item.error)


def enrolment(outcomes: Iterable[Outcome]) -> Enrolment:
    """Return several requests' outcomes as one answer."""
    items = tuple(EnrolledItem(each.index, each.status, each.sample_id, each.error) for each in outcomes)
    created, duplicates, refused = (
        sum(item.status == status for item in items) for status in ("created", "duplicate", "rejected")
    )
    return Enrolment(created, duplicates, refused, items)
