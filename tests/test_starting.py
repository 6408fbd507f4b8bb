"""A first experiment for data of the user's own: what `init` finds in it, and writes."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from made_images import write_folder
from mtl_search.datasets._looking import look_at
from mtl_search.errors import UserError
from mtl_search.searching.check import check
from mtl_search.searching.starting import first_experiment
from mtl_search.spaces.experiment import load_experiment


def write_csv(path: Path, header: str, rows: list[str]) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def plants(tmp_path: Path) -> Path:
    """Two labels, an empty input, a column that counts, one of remarks, one that never changes, and the splits."""
    rows = []
    for number in range(80):
        size = "" if number == 3 else f"{number % 7 + 0.5}"
        part = ("train", "train", "val", "test")[number % 4]
        kind = ("aster", "iris")[number % 2]
        rows.append(f"{number},{size},{number * 3 % 11}.25,seen at {number},paris,{part},{kind},{number % 5 + 0.5}")
    return write_csv(tmp_path / "plants.csv", "id,size,soil,remark,town,part,label_kind,label_price", rows)


def test_tasks_splits_and_what_is_no_input_are_found(plants: Path) -> None:
    found = look_at(plants)
    assert found.guessed
    assert found.options == {
        "tasks": ["label_kind", "label_price"],
        "exclude": ["id", "remark", "town"],
        "split": "part",
        "missing_inputs": "mean",
    }
    assert found.remarks["missing_inputs"] == "empty cells in size"


def test_what_is_written_is_an_experiment_that_is_valid_on_the_data(plants: Path) -> None:
    path = first_experiment(plants)
    experiment = load_experiment(str(path))
    assert experiment.dataset.options["tasks"] == {"label_kind": "binary", "label_price": "regression"}
    assert (experiment.training.batch_size, experiment.training.epochs) == (16, 60)
    checked = check(str(path))
    assert checked.samples == {"train": 40, "val": 20, "test": 20}
    assert checked.inputs["features"] == ["size", "soil"]
    text = path.read_text(encoding="utf-8")
    assert re.search(r"    label_kind: binary +# aster, iris\n", text)


def test_named_tasks_and_patterns_leave_the_others_as_inputs(plants: Path) -> None:
    assert look_at(plants, ["soil", "label_k*"]).options["tasks"] == ["soil", "label_kind"]
    assert not look_at(plants, ["soil"]).guessed


def test_without_a_name_that_says_so_the_last_column_is_the_task(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "plain.csv", "a,b,c", [f"{n % 3},{n % 5 + 0.5},{n % 7 + 0.5}" for n in range(60)])
    assert look_at(path).options == {"tasks": ["c"]}


def test_arrays_of_pictures(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (300, 32, 32), dtype=np.uint8)
    parts = np.array(["train", "train", "val", "test"] * 75)
    angle = rng.random(300, np.float32)
    np.savez(tmp_path / "seen.npz", digit=np.arange(300) % 10, part=parts, images=pixels, angle=angle)
    path = first_experiment(tmp_path / "seen.npz")
    experiment = load_experiment(str(path))
    assert (experiment.dataset.options["inputs"], experiment.dataset.options["split"]) == ("images", "part")
    assert experiment.dataset.options["tasks"] == {"digit": "classification", "angle": "regression"}
    assert experiment.backbone.kind == "plain"
    assert [stage.stride for stage in experiment.backbone.build().stages] == [1, 2, 2]
    assert check(str(path)).samples == {"train": 150, "val": 75, "test": 75}


def test_a_file_of_that_name_is_left_alone(plants: Path) -> None:
    plants.with_suffix(".yaml").write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match=r"plants.yaml: is there already; give another name by `--out`"):
        first_experiment(plants)
    assert plants.with_suffix(".yaml").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        (["label_knd"], "plants.csv: has no `label_knd` to be predicted. Did you mean `label_kind`?"),
        (["tag_*"], "has no column that `tag_*` of `dataset.tasks` fits"),
        (["id", "size", "soil", "remark", "town", "label_*"], "has no column that is left as an input"),
    ],
)
def test_tasks_that_are_not_there_are_refused_and_nothing_is_written(
    plants: Path, tasks: list[str], message: str
) -> None:
    with pytest.raises(UserError) as refused:
        first_experiment(plants, tasks)
    assert message in str(refused.value)
    assert not plants.with_suffix(".yaml").exists()


def test_excluded_columns_and_patterns_of_tasks_in_an_experiment(plants: Path, tmp_path: Path) -> None:
    lines = ["name: table", f"file: {plants.name}", "tasks: label_*", "exclude: [id, 're*', town]", "split: part"]
    (tmp_path / "my.yaml").write_text(
        "dataset:\n"
        + "".join(f"  {line}\n" for line in [*lines, "missing_inputs: zero"])
        + "backbone: {kind: vector, stages: [{width: 4}]}\nspace: {shared_ratio: [1.0, 0.5]}\n"
        + "training: {batch_size: 8}\n",
        encoding="utf-8",
    )
    checked = check(str(tmp_path / "my.yaml"))
    assert [task["name"] for task in checked.tasks] == ["label_kind", "label_price"]
    assert checked.inputs["features"] == ["size", "soil"]
    for change, message in (
        ("dataset.exclude=[idd]", "has no column `idd` for `dataset.exclude`. Did you mean `id`?"),
        ("dataset.inputs=[size]", "`dataset.exclude` must be left out where `inputs` names the columns"),
    ):
        with pytest.raises(UserError) as refused:
            check(load_experiment(str(tmp_path / "my.yaml"), [change]))
        assert message in str(refused.value)


# Folders of pictures


def test_a_table_in_a_folder_names_its_pictures(tmp_path: Path) -> None:
    """And its maps; what counts the rows is no task, and the splits are those of the table."""
    write_folder(tmp_path / "shapes", 48)
    path = first_experiment(tmp_path / "shapes")
    options = load_experiment(str(path)).dataset.options
    kinds = {"shape": "binary", "dark": "binary", "mask": "segmentation", "depth": "depth"}
    assert options["tasks"] == {**kinds, "normals": "normals", "edges": "edges"}
    assert (options["image"], options["split"], options["table"]) == ("image", "split", "labels.csv")
    assert "size" not in options
    assert not path.with_suffix(".csv").exists()
    assert check(str(path)).inputs["shape"][0] in (1, 3)
    with pytest.raises(UserError, match=r"labels.csv: has no `mas` to be predicted. Did you mean `mask`\?"):
        first_experiment(tmp_path / "shapes", ["mas"], tmp_path / "other.yaml")


def pictures(folder: Path, number: int, side: int = 20) -> np.ndarray:
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (side, side), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / f"{number}.png")
    return pixels


def test_a_folder_for_each_class(tmp_path: Path) -> None:
    """A table is written beside the experiment; one task has nothing to share."""
    for number in range(60):
        pictures(tmp_path / "birds" / ("owl", "wren", "kite")[number % 3], number)
    (tmp_path / "birds" / ".hidden").mkdir()
    path = first_experiment(tmp_path / "birds")
    experiment = load_experiment(str(path))
    assert experiment.dataset.options["tasks"] == {"class": "classification"}
    assert (tmp_path / "birds.csv").read_text(encoding="utf-8").startswith("image,class\nkite/11.png,kite\n")
    assert {choice.shared_ratio for choice in experiment.search_space.layers} == {(1.0,)}
    assert check(str(path)).samples == {"train": 42, "val": 9, "test": 9}
    path.unlink()
    with pytest.raises(UserError, match=r"birds.csv: is there already; give another name by `--out`"):
        first_experiment(tmp_path / "birds")


def test_folders_of_splits_hold_folders_of_classes(tmp_path: Path) -> None:
    for number in range(60):
        part = ("train", "train", "valid", "test")[number % 4]
        pictures(tmp_path / "birds" / part / ("owl", "wren")[number % 2 ^ number // 4 % 2], number)
    assert check(str(first_experiment(tmp_path / "birds"))).samples == {"train": 30, "val": 15, "test": 15}


def test_maps_beside_pictures_are_tasks_and_large_ones_are_resized(tmp_path: Path) -> None:
    for number in range(40):
        side = 150 if number else 160
        pixels = pictures(tmp_path / "rooms" / "images", number, side)
        for folder, values in (("mask", np.uint8(255) * (pixels > 99)), ("far", 1000 + np.uint16(9) * pixels)):
            (tmp_path / "rooms" / folder).mkdir(exist_ok=True)
            if number != 7 or folder != "mask":
                Image.fromarray(values).save(tmp_path / "rooms" / folder / f"{number}.png")
    path = first_experiment(tmp_path / "rooms")
    options = load_experiment(str(path)).dataset.options
    assert options["tasks"] == {"far": "depth", "mask": "segmentation"}
    assert options["size"] == [64, 64]
    assert "\nimages/7.png,far/7.png,\n" in (tmp_path / "rooms.csv").read_text(encoding="utf-8")


def test_a_folder_that_is_none_of_these_is_refused(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    pictures(tmp_path / "plain", 1)
    with pytest.raises(UserError, match=r"plain: must hold a table that names pictures \(as labels.csv\), pictures in"):
        first_experiment(tmp_path / "plain")
    write_csv(tmp_path / "plain" / "labels.csv", "a,b", ["1,2", "2,3"])
    with pytest.raises(UserError, match=r"labels.csv: must have a column that names pictures in .*plain"):
        first_experiment(tmp_path / "plain")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plain"]
