"""What the service counts about itself, in a Prometheus registry of its own."""

from collections.abc import Iterable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    generate_latest,
)

from app.drift import Told

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_QUANTILES = (0.1, 0.5, 0.9)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """One application's counters; nothing is global, so two applications do not mix."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Counter(
            "reid_requests", "Requests answered", ("route", "method", "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "reid_request_seconds",
            "From first byte to answer",
            ("route",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._stages = Histogram(
            "reid_stage_seconds",
            "Time of one stage of a request",
            ("stage",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._batches = Histogram(
            "reid_batch_pictures", "Pictures embedded at once", buckets=_SIZES, registry=self.registry
        )
        self._embedded = Counter("reid_embeddings", "Pictures embedded", registry=self.registry)
        self._rejected = Counter(
            "reid_rejected_items", "Pictures and entries refused, by code", ("code",), registry=self.registry
        )
        self._deaths = Counter(
            "reid_worker_deaths", "Embedding workers that died and were replaced", registry=self.registry
        )
        self._expired = Counter("reid_expired_samples", "Samples deleted by retention", registry=self.registry)
        self._expiry_failures = Counter(
            "reid_expiry_failures", "Runs of the expiry that failed or left something", registry=self.registry
        )
        self._migration_failures = Counter(
            "reid_migration_failures", "Steps of a migration that failed and are tried again", registry=self.registry
        )
        self._migrating = Gauge(
            "reid_migration_samples",
            "Samples of the migration under way, by what became of them",
            ("outcome",),
            registry=self.registry,
        )
        self._depth = Gauge("reid_queue_pictures", "Pictures that wait for the model", registry=self.registry)
        self._limit = Gauge(
            "reid_queue_limit_pictures", "Pictures that may wait; more is answered 429", registry=self.registry
        )
        self._lag = Gauge(
            "reid_index_lag_changes", "Changes of the catalogue that the index has not applied", registry=self.registry
        )
        self._free = Gauge("reid_data_free_bytes", "Free on the disk of the data folder", registry=self.registry)
        self._size = Gauge("reid_data_size_bytes", "Size of the disk of the data folder", registry=self.registry)
        self._gallery = Gauge("reid_gallery_samples", "Samples enrolled", registry=self.registry)
        by_camera = ("gallery", "camera", "measure")
        self._stability = Gauge(
            "reid_drift_psi",
            "Population stability index of late against the card's reference, and against the first",
            (*by_camera, "reference"),
            registry=self.registry,
        )
        self._quantiles = Gauge(
            "reid_drift_value",
            "Quantiles of what was counted of late",
            (*by_camera, "quantile"),
            registry=self.registry,
        )
        self._model = Info("reid_model", "The active model version", registry=self.registry)

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def stage(self, name: str, seconds: float) -> None:
        """Record the time of one stage of one request."""
        self._stages.labels(name).observe(seconds)

    def batch(self, size: int, seconds: float) -> None:
        """Record one run of the model."""
        self._batches.observe(size)
        self._embedded.inc(size)
        self._stages.labels("model").observe(seconds)

    def migrating(self, *, done: int, left_out: int, left: int) -> None:
        """Record how far a migration is; zeros when none is under way."""
        for outcome, samples in (("embedded", done - left_out), ("left_out", left_out), ("to_do", left)):
            self._migrating.labels(outcome).set(samples)

    def migration_failed(self) -> None:
        """Count one step of a migration that failed."""
        self._migration_failures.inc()

    def rejected(self, code: str) -> None:
        """Count one refused item."""
        self._rejected.labels(code).inc()

    def worker_died(self) -> None:
        """Count one embedding worker that was replaced."""
        self._deaths.inc()

    def expired(self, samples: int) -> None:
        """Count samples that were past their gallery's retention."""
        self._expired.inc(samples)

    def expiry_failed(self) -> None:
        """Count one run of the expiry that failed."""
        self._expiry_failures.inc()

    def bounds(self, queue: int) -> None:
        """Tell how many pictures may wait."""
        self._limit.set(queue)

    def disk(self, *, free: int, size: int) -> None:
        """Tell of the disk of the data folder, in bytes."""
        self._free.set(free)
        self._size.set(size)

    def drift(self, told: Iterable[Told]) -> None:
        """Tell how cameras are of late."""
        self._stability.clear()
        self._quantiles.clear()
        for each in told:
            labels = (each.gallery, each.camera, each.counted.measure.name)
            indices = {"first": each.counted.psi, each.compared.with_what: each.compared.psi}
            for reference, psi in indices.items():
                if psi is not None:
                    self._stability.labels(*labels, reference).set(psi)
            for share in _QUANTILES:
                if (value := each.counted.quantile(share)) is not None:
                    self._quantiles.labels(*labels, str(share)).set(value)

    def render(self, *, queue: int, samples: float, version: str, providers: str, lag: float = 0) -> bytes:
        """Return everything in Prometheus' text format, with the present state."""
        self._depth.set(queue)
        self._lag.set(lag)
        self._gallery.set(samples)
        self._model.info({"version": version, "providers": providers})
        return generate_latest(self.registry)
