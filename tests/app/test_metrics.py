from app.distribution import Distribution
from app.drift import Told
from app.metrics import Metrics
from model.measures import MEASURES


def test_everything_is_rendered() -> None:
    metrics = Metrics()
    metrics.request("/query", "POST", 200, 0.02)
    metrics.stage("decode", 0.003)
    metrics.batch(3, 0.01)
    metrics.rejected("image_truncated")
    metrics.worker_died()
    metrics.expired(4)
    metrics.expiry_failed()
    metrics.bounds(512)
    metrics.disk(free=3, size=9)
    text = metrics.render(queue=5, samples=7, version="tiny@1", providers="CPU", lag=2).decode()
    for line in (
        'reid_requests_total{method="POST",route="/query",status="200"} 1.0',
        'reid_request_seconds_count{route="/query"} 1.0',
        'reid_stage_seconds_sum{stage="decode"} 0.003',
        'reid_stage_seconds_sum{stage="model"} 0.01',
        'reid_batch_pictures_bucket{le="4.0"} 1.0',
        'reid_batch_pictures_bucket{le="2.0"} 0.0',
        "reid_embeddings_total 3.0",
        'reid_rejected_items_total{code="image_truncated"} 1.0',
        "reid_worker_deaths_total 1.0",
        "reid_expired_samples_total 4.0",
        "reid_expiry_failures_total 1.0",
        "reid_queue_pictures 5.0",
        "reid_queue_limit_pictures 512.0",
        "reid_index_lag_changes 2.0",
        "reid_data_free_bytes 3.0",
        "reid_data_size_bytes 9.0",
        "reid_gallery_samples 7.0",
        'reid_model_info{providers="CPU",version="tiny@1"} 1.0',
    ):
        assert line in text.splitlines()


def test_two_applications_count_apart() -> None:
    first, second = Metrics(), Metrics()
    first.batch(1, 0.1)
    assert b"reid_embeddings_total 0.0" in second.render(queue=0, samples=0, version="v", providers="p")


def test_drift_is_told_beside_the_card_and_beside_the_first() -> None:
    metrics, counted = Metrics(), Distribution(MEASURES[0])
    for value in [0.5] * 250 + [0.6] * 650:
        counted.add(value)
    card = MEASURES[0].counts([0.6] * 300 + [0.7] * 100)
    metrics.drift([Told("default", "c1", counted, counted.compared(card))])
    metrics.drift(
        [Told("default", "c2", counted, counted.compared()), Told("default", "c1", counted, counted.compared(card))]
    )
    text = metrics.render(queue=0, samples=0, version="v", providers="p").decode()
    found = dict(line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("reid_drift_psi{"))
    own, beside = counted.psi, counted.compared(card).psi
    assert own is not None
    assert own != beside
    name = 'reid_drift_psi{camera="%s",gallery="default",measure="score",reference="%s"}'
    assert {key: float(value) for key, value in found.items()} == {
        name % ("c1", "first"): own, name % ("c1", "card"): beside, name % ("c2", "first"): own,
    }  # fmt: skip
