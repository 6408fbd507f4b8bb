"""The model in use: what a network says of new data is what it computes, in the words and the units of the data."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from made_images import write_folder
from made_pages import blocks, follow, page, status
from mtl_search import export, load_experiment, load_model, load_run, make_task, search
from mtl_search.errors import DatasetError, UserError
from mtl_search.exporting.trained import load_trained
from mtl_search.exporting.written import csv_text, write_predictions
from mtl_search.runs.folder import Run
from mtl_search.searching.preparation import prepare

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the page about predictions was followed."""
    folder = tmp_path_factory.mktemp("homes")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        follow(blocks(page("docs/predict.md")), patched)
    return folder


@pytest.fixture
def inside(homes: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(homes)
    return homes


@torch.no_grad()
def by_hand(run: Run, which: str | int | None = None) -> tuple[dict[str, torch.Tensor], Any]:
    """What the network puts out for all samples of the splits, and the numbers of their rows."""
    data = prepare(run.experiment)
    inputs = np.concatenate([np.asarray(split.inputs) for split in data.splits.values()])
    rows = np.concatenate([data.rows[split] for split in data.splits])
    of_channels = (1, -1, *[1] * (inputs.ndim - 2))
    mean, std = (torch.from_numpy(np.array(part)).view(of_channels) for part in (data.mean, data.std))
    outputs = load_trained(run, which, data).network((torch.from_numpy(inputs).float() - mean) / std)
    return {name: output[np.argsort(rows)] for name, output in outputs.items()}, data


def test_predictions_of_a_table_are_what_the_network_computes(inside: Path) -> None:
    run = load_run("results/homes")
    outputs, data = by_hand(run)
    found = load_model(run).predict("homes.csv")
    tasks = {task.name: task for task in data.tasks}
    chances = outputs["kind"].softmax(dim=1).numpy()
    names = ("flat", "house", "loft")
    assert found["kind"].tolist() == [names[number] for number in chances.argmax(axis=1)]
    for number, name in enumerate(names):
        np.testing.assert_allclose(found[f"kind/{name}"], chances[:, number], atol=1e-6)
    rent = outputs["rent"][:, 0].numpy() * tasks["rent"].deviation[0] + tasks["rent"].mean[0]
    np.testing.assert_allclose(found["rent"], rent, rtol=1e-6)
    assert 700 < found["rent"].mean() < 1600, "in units of the data"
    np.testing.assert_allclose(found["garden/probability"], outputs["garden"][:, 0].sigmoid().numpy(), atol=1e-6)
    assert found["garden"].tolist() == (outputs["garden"][:, 0] > 0).int().tolist()
    labels = outputs["extras"].sigmoid().numpy()
    np.testing.assert_allclose(found["extras/balcony"], labels[:, 0], atol=1e-6)
    said = ["|".join(np.array(["balcony", "garden"])[row > 0.5]) for row in labels]
    assert found["extras"].tolist() == said


def test_columns_without_labels_in_any_order_give_the_same(inside: Path) -> None:
    model = load_model("results/homes", 0)
    whole = model.predict("homes.csv")
    frame = pd.read_csv("homes.csv")
    bare = frame[["heated", "area", "district", "rooms"]]
    bare.to_parquet("bare.parquet")
    for found in (model.predict(bare.set_axis(range(1000, 1240))), model.predict("bare.parquet")):
        for name, values in whole.columns.items():
            assert np.array_equal(values, found[name]), name
    assert model.predict(bare[5:9]).frame().index.tolist() == [5, 6, 7, 8]
    one = model.predict(bare[5:6])
    assert one["rent"] == pytest.approx(whole["rent"][5:6], rel=1e-6)


def test_empty_cells_and_other_categories_are_those_of_the_training(inside: Path) -> None:
    data = prepare(load_run("results/homes").experiment)
    model = load_model("results/homes")
    samples = model.samples("offers.csv")
    filled = data.found["filled"]["area"]
    expected = [[3, 71.5, 0, 0, 1, 0], [2, filled, 0, 1, 0, 1], [5, 120, 0, 0, 0, 1]]
    assert data.found["features"] == [
        "rooms",
        "area",
        "district=north",
        "district=old town",
        "district=south",
        "heated",
    ]
    np.testing.assert_allclose(samples.read(0, 3), expected, rtol=1e-6)
    assert samples.notes == [
        "district: 1 of 3 rows have a category that no training row had, and so none of its features"
    ]
    frame = pd.DataFrame({"rooms": ["NA"], "area": ["5"], "district": [None], "heated": ["no"]})
    rooms = data.mean[0]
    np.testing.assert_allclose(model.samples(frame).read(0, 1), [[rooms, 5, 0, 0, 0, 0]], rtol=1e-5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rooms,aera,district,heated\n1,2,north,no\n", r"no column `area` for `dataset.inputs`. Did you mean `aera`\?"),
        ("rooms,area,district,heated\n1,2,north,no\n1,big,north,no\n", r"row 1 \(line 3\), column `area`: .*'big'"),
        ("rooms,area,district,heated\nmany,2,north,no\n", "row 0 .*`rooms`: must be a number, but got 'many'"),
        (
            "rooms,area,district,heated\n1,2,north,perhaps\n",
            "`heated`: must be 0 or 1, or yes or no, but got 'perhaps'",
        ),
        ("rooms,area,district,heated\n1,yes,north,no\n", "`area`: must be a number, but got yes"),
        ("rooms,area,district,heated\n1,2,north\n", "must have 4 cells"),
    ],
)
def test_what_cannot_be_read_is_named(inside: Path, text: str, message: str) -> None:
    Path("wrong.csv").write_text(text, encoding="utf-8")
    with pytest.raises(DatasetError, match=message):
        load_model("results/homes").predict("wrong.csv")


@pytest.mark.slow
@pytest.mark.parametrize("format", ["torch", "onnx"])
def test_an_exported_file_alone_says_the_same(inside: Path, tmp_path: Path, format: Any) -> None:
    expected = load_model("results/homes").predict("homes.csv")
    path = export("results/homes", format=format, out=tmp_path / "model")
    alone = path.rename(tmp_path / path.name)
    found = load_model(alone).predict("homes.csv")
    assert list(found.columns) == list(expected.columns)
    for name, values in expected.columns.items():
        if values.dtype == object:
            assert np.array_equal(values, found[name])
        else:
            np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-5)
    chances = export("results/homes", format=format, probabilities=True, out=tmp_path / "chances")
    again = load_model(chances).predict("homes.csv")
    np.testing.assert_allclose(again["kind/loft"], expected["kind/loft"], atol=1e-6)
    np.testing.assert_allclose(again["rent"], expected["rent"], rtol=1e-5)
    with pytest.raises(UserError, match="is an exported model, of which there is one"):
        load_model(alone, "best")
    alone.write_bytes(b"nothing")
    with pytest.raises(UserError, match="is no model that can be read"):
        load_model(alone)


@pytest.mark.slow
def test_a_program_puts_out_values_in_units_and_probabilities(inside: Path, tmp_path: Path) -> None:
    """With torch alone, from inputs in the units of the data."""
    model = load_model("results/homes")
    inputs = torch.from_numpy(model.samples("offers.csv").read(0, 3))
    expected = model.predict("offers.csv")
    for probabilities in (False, True):
        path = export("results/homes", format="torch", probabilities=probabilities, out=tmp_path / str(probabilities))
        outputs = {name: found.detach() for name, found in torch.export.load(path).module()(inputs).items()}
        np.testing.assert_allclose(outputs["rent"][:, 0], expected["rent"], rtol=1e-5)
        chances = outputs["kind"] if probabilities else outputs["kind"].softmax(dim=1)
        np.testing.assert_allclose(chances[:, 2], expected["kind/loft"], atol=1e-6)
        card = json.loads(path.with_name("model_card.json").read_text(encoding="utf-8"))
        assert ("the probability of each class" in card["tasks"][0]["output_means"]) is probabilities
        extra = {"model_card.json": ""}
        torch.export.load(path, extra_files=extra)
        held = json.loads(extra["model_card.json"])
        assert held == {name: value for name, value in card.items() if name != "files"}


def test_large_values_are_told_apart_in_their_units() -> None:
    """Seconds since 1970 within a minute are one number in float32."""
    task = make_task("regression", "second", mean=(1.7e9,), deviation=(20.0,))
    found = task.in_units(torch.tensor([[0.5], [0.6]]))
    assert found.squeeze(1).tolist() == pytest.approx([1.7e9 + 10, 1.7e9 + 12], rel=0, abs=1e-4)
    assert (
        make_task("regression", "rent", mean=(900.0,), deviation=(20.0,)).in_units(torch.ones(1, 1)).dtype
        == torch.float32
    )


def test_the_command_writes_a_row_for_each(
    inside: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with open("predictions.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found = load_model("results/homes").predict("offers.csv")
    assert [row["kind"] for row in rows] == found["kind"].tolist()
    np.testing.assert_allclose([float(row["rent"]) for row in rows], found["rent"], rtol=1e-9)
    assert list(rows[0])[:5] == ["kind", "kind/flat", "kind/house", "kind/loft", "rent"]
    capsys.readouterr()
    assert status(monkeypatch, "predict", "results/homes:0", "offers.csv", "--json") in (0, None)
    told = json.loads(capsys.readouterr().out)
    assert [row["kind"] for row in told] == found["kind"].tolist()
    before = Path("offers.csv").read_bytes()
    for arguments, message in (
        (("results/homes:7", "offers.csv"), "there is no trial 7"),
        (("results/homes", "ofers.csv"), "Did you mean `offers.csv`?"),
        (("results/homes", "offers.csv", "--out", "offers.csv"), "is the data itself"),
        (("results/homes", "offers.csv", "--out", "nowhere/x.csv"), "no such folder"),
    ):
        assert status(monkeypatch, "predict", *arguments) == 2
        assert message in capsys.readouterr().err
    assert Path("offers.csv").read_bytes() == before


def test_a_label_that_a_spreadsheet_would_run_is_none() -> None:
    text = csv_text([{"kind": "=1+1", "rent": -0.5}])
    assert text == "kind,rent\n'=1+1,-0.5\n"


@pytest.mark.slow
def test_two_fresh_processes_agree(inside: Path) -> None:
    line = [sys.executable, "-m", "mtl_search.cli", "predict", "results/homes", "homes.csv"]
    first, second = (subprocess.run(line, check=True, capture_output=True).stdout for _ in range(2))
    assert first.count(b"\n") == 241
    assert first == second


PICTURES = """
dataset:
  name: images
  root: {root}
  tasks:
    shape: classification
    mask: {{kind: segmentation, classes: [around, disk, square]}}
    depth: {{kind: depth, scale: 0.001}}
    normals: {{kind: normals}}
    edges: {{kind: edges}}
  split: split
  cache: {root}/cache
backbone: {{stages: [{{width: 6}}]}}
space: {{bank: paper, shared_ratio: [1.0, 0.5]}}
training: {{epochs: 1, batch_size: 6}}
search: {{trials: 1, workers: 0}}
"""


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on a folder of pictures with maps."""
    folder = tmp_path_factory.mktemp("shapes")
    root = write_folder(folder / "data")
    (folder / "shapes.yaml").write_text(PICTURES.format(root=root), encoding="utf-8")
    return search(load_experiment(str(folder / "shapes.yaml")), out=folder / "run")


def test_predictions_of_pictures_are_what_the_network_computes(shapes: Run, tmp_path: Path) -> None:
    outputs, data = by_hand(shapes)
    root = Path(data.options["root"])
    model = load_model(shapes)
    found = model.predict(root)
    assert found.files == [f"pictures/{number}.png" for number in range(24)]
    assert found["shape"].tolist() == [("disk", "square")[one] for one in outputs["shape"].argmax(dim=1)]
    assert np.array_equal(found.maps["mask"], outputs["mask"].argmax(dim=1).numpy())
    np.testing.assert_allclose(found.maps["depth"], outputs["depth"][:, 0].numpy(), atol=1e-6)
    np.testing.assert_allclose(found.maps["edges"], outputs["edges"][:, 0].sigmoid().numpy(), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found.maps["normals"], axis=1), 1, atol=1e-5)

    samples = model.samples(root / "pictures")
    rows = write_predictions(model, samples, tmp_path / "out.csv")
    assert [row["file"] for row in rows] == sorted(f"{number}.png" for number in range(24))
    number = int(rows[3]["file"].removesuffix(".png"))
    mask = np.asarray(Image.open(tmp_path / rows[3]["mask"]))
    assert rows[3]["mask"] == "out_maps/mask-000003.png"
    assert np.array_equal(mask, found.maps["mask"][number])
    edges = np.asarray(Image.open(tmp_path / rows[3]["edges"]))
    np.testing.assert_allclose(edges / 255, found.maps["edges"][number], atol=0.002)
    np.testing.assert_allclose(np.load(tmp_path / rows[3]["depth"]), found.maps["depth"][number], atol=1e-6)
    arrays = np.stack([np.asarray(Image.open(root / name)) for name in found.files])
    assert np.array_equal(model.predict(arrays)["shape/disk"], found["shape/disk"])


def test_a_picture_of_another_kind_is_refused(shapes: Run, tmp_path: Path) -> None:
    model = load_model(shapes)
    (tmp_path / "new").mkdir()
    with pytest.raises(DatasetError, match="holds no pictures"):
        model.predict(tmp_path / "new")
    Image.new("RGB", (13, 12)).save(tmp_path / "new" / "wide.png")
    with pytest.raises(DatasetError, match=r"wide.png: must have 12 x 12 pixels .* but has 12 x 13"):
        model.predict(tmp_path / "new")
    (tmp_path / "new" / "labels.csv").write_text("image\nwyde.png\n")
    with pytest.raises(DatasetError, match=r"row 0 \(line 2\), column `image`: .*Did you mean `wide.png`"):
        model.predict(tmp_path / "new" / "labels.csv")
    with pytest.raises(DatasetError, match=r"must be \[samples, 3, 12, 12\]"):
        model.predict(np.zeros((2, 5), np.float32))
