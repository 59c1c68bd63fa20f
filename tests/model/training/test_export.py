import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest

from model.card import Card, Parity, Precision, read_card
from model.errors import DatasetError, ExportError
from model.parity import TOLERANCES, Tolerance
from model.registry import Registry
from model.synthetic import encode_jpeg, render
from model.training import serving
from model.training.checkpoint import load_checkpoint, save_checkpoint
from model.training.datasets.reading import read_dataset
from model.training.evaluate import evaluate_version
from model.training.export import export, judge
from model.training.recipe import override, read_recipe
from model.training.train import train
from tests.model.training.conftest import LOOSE

PRECISIONS: tuple[Precision, ...] = ("fp32", "int8")


def test_card_tells_what_was_exported(folder: Path, market: Path) -> None:
    card = read_card(folder / "card.json")
    assert (card.input.height, card.input.width, card.output.dim) == (64, 32, 32)
    assert {row.precision for row in card.parity} == {"fp32", "int8"}
    assert card.parity[0].least_cosine > 0.9999
    assert card.calibration is not None
    assert card.calibration.identities == 6
    assert card.open_set is not None
    assert card.open_set.enrolled == 3
    assert card.reference is not None
    assert card.reference.protocol.startswith("32 held-out images of 6 identities: the best score of each image")
    assert {each.measure for each in card.reference.measures} >= {"score", "brightness", "sharpness"}
    assert {sum(each.counts) for each in card.reference.measures} == {card.parity[0].images}
    assert card.data.identities == 8
    assert "Market-1501" in card.terms
    endings = ("held-out", "white balance e^±0.2 by camera; held-out", "test")
    assert [row.protocol.split("; ", 1)[1] for row in card.metrics] == [*endings] * 2
    assert card.metrics[0].mAP != card.metrics[1].mAP


def test_figures_in_the_card_are_those_of_the_files(folder: Path, market: Path, tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    assert registry.import_version(folder) == "tiny@1"
    for precision in PRECISIONS:
        result = evaluate_version(registry.open("tiny@1", precision=precision), read_dataset(market))
        (row,) = [
            r for r in registry.card("tiny@1").metrics if r.precision == precision and r.protocol.endswith("test")
        ]
        assert row.mAP == pytest.approx(100 * result.mAP, abs=0.01)


def test_file_takes_any_batch_and_gives_unit_embeddings(folder: Path, tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    registry.import_version(folder)
    images = np.random.default_rng(0).integers(256, size=(7, 64, 32, 3), dtype=np.uint8)
    for precision in PRECISIONS:
        embedder = registry.open("tiny@1", precision=precision)
        whole = embedder.embed(images)
        single = np.concatenate([embedder.embed(images[i : i + 1]) for i in range(7)])
        assert np.allclose(whole, single, atol=1e-4)
        assert np.allclose(np.linalg.norm(whole, axis=1), 1, atol=1e-4)


@pytest.mark.parametrize("name", ["model.onnx", "model.int8.onnx"])
def test_file_does_not_tell_where_it_was_made(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    assert b"/torch/" not in content
    assert str(Path(serving.__file__).parent).encode() not in content


def test_int8_file_is_quantised_and_keeps_its_contract(folder: Path) -> None:
    proto = onnx.load(folder / "model.int8.onnx")
    assert sum(node.op_type == "QuantizeLinear" for node in proto.graph.node) > 20
    (contract,) = [json.loads(item.value) for item in proto.metadata_props if item.key == "reid.contract"]
    assert contract["input"]["color"] == "RGB"
    sizes = {name: (folder / name).stat().st_size for name in ("model.onnx", "model.int8.onnx")}
    assert sizes["model.int8.onnx"] < 0.3 * sizes["model.onnx"]


GOOD = Parity(
    precision="int8",
    images=100,
    batch_sizes=(1,),
    least_cosine=0.99,
    mean_cosine=0.99,
    rank1_difference=0.2,
    mAP_difference=-0.1,
)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"least_cosine": 0.1}, "least cosine"),
        ({"mean_cosine": float("nan")}, "mean cosine"),
        ({"rank1_difference": -1.01}, "rank-1"),
        ({"mAP_difference": -9.0}, "mAP"),
    ],
)
def test_each_figure_out_of_tolerance_is_a_miss(change: dict[str, float], message: str) -> None:
    judge(GOOD)
    with pytest.raises(ExportError, match=message):
        judge(GOOD.model_copy(update=change))


def test_one_query_of_few_may_lose_its_first_place() -> None:
    few = GOOD.model_copy(update={"images": 89})
    judge(few.model_copy(update={"rank1_difference": -100 / 89}))
    judge(few.model_copy(update={"images": 0}))  # as another's card may say
    with pytest.raises(ExportError, match=r"rank-1 difference to the network of at least -1\.123"):
        judge(few.model_copy(update={"rank1_difference": -200 / 89}))


def test_other_data_than_the_run_saw_is_refused(run: Path, market: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    for split in ("bounding_box_train", "query", "bounding_box_test"):
        (other / split).mkdir(parents=True)
        for path in sorted((market / split).iterdir())[1:]:
            (other / split / path.name).write_bytes(path.read_bytes())
    with pytest.raises(DatasetError, match="trained on other files"):
        export(run, read_dataset(other), tmp_path / "out", version="tiny@1", terms="none", command="reid export")


def test_what_comes_after_a_neck_is_not_exported_without_one(run: Path, market: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(run)
    recipe = override(checkpoint.recipe, {"network.bottleneck": False})
    save_checkpoint(replace(checkpoint, recipe=recipe), tmp_path)
    with pytest.raises(ExportError, match="with a bottleneck for the embedding whitened, found one without"):
        export(
            tmp_path, read_dataset(market), tmp_path / "out", version="m@1", terms="", command="", embedding="whitened"
        )


def test_people_without_cameras_and_test_are_trained_on_and_exported(
    recipe_file: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for person in range(10):
        (tmp_path / "people" / str(person)).mkdir(parents=True)
        for view in range(4):
            picture = tmp_path / "people" / str(person) / f"{view}.jpg"
            picture.write_bytes(encode_jpeg(render(person, view, view)))
    people = read_dataset(tmp_path / "people", "folder")
    train(read_recipe(str(recipe_file)), people, tmp_path / "run", weights=weights, device="cpu")
    monkeypatch.setitem(TOLERANCES, "int8", LOOSE)
    card = export(tmp_path / "run", people, tmp_path / "out", version="tiny@1", terms="none", command="reid export")
    assert (card.data.identities, card.data.cameras, card.data.terms) == (4, 0, people.terms)
    assert all(row.protocol.endswith("held-out") for row in card.metrics)
    assert card.terms == f"{people.terms} none"


def test_int8_alone_keeps_the_figures_of_both_and_can_be_registered(
    run: Path, market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TOLERANCES, "int8", LOOSE)
    out = tmp_path / "out"
    keep: tuple[Precision, ...] = ("int8",)
    card = export(run, read_dataset(market), out, version="tiny@1", terms="none", command="reid export", keep=keep)
    assert sorted(path.name for path in out.iterdir()) == ["card.json", "model.int8.onnx"]
    assert {row.precision for row in card.metrics} == {row.precision for row in card.parity} == {"fp32", "int8"}
    registry = Registry(tmp_path / "models")
    assert registry.import_version(out) == "tiny@1"
    registry.activate("tiny@1")
    assert registry.file("tiny@1").name == "model.int8.onnx"


def test_fp32_alone_is_exported_where_int8_loses_too_much(
    run: Path, market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TOLERANCES, "int8", Tolerance(1.1, 1.1, 0, 0))
    out = tmp_path / "out"
    make = partial(export, run, read_dataset(market), out, version="tiny@1", terms="none", command="reid export")
    with pytest.raises(ExportError, match=r"^int8: .*; --fp32-only exports without int8$"):
        make()
    fp32: tuple[Precision, ...] = ("fp32",)
    card = make(keep=fp32)
    assert sorted(path.name for path in out.iterdir()) == ["card.json", "model.onnx", "weights.safetensors"]
    assert {row.precision for row in card.metrics} == {row.precision for row in card.parity} == {"fp32"}
    registry = Registry(tmp_path / "models")
    assert registry.import_version(out) == "tiny@1"
    registry.activate("tiny@1")
    assert registry.file("tiny@1").name == "model.onnx"


def test_card_survives_its_own_json(folder: Path) -> None:
    card = read_card(folder / "card.json")
    assert Card.model_validate_json(card.model_dump_json()) == card
