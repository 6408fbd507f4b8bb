import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from mtl_search.errors import ExperimentError
from mtl_search.spaces.backbone import Backbone, Stage
from mtl_search.spaces.experiment import (
    Experiment,
    experiment_names,
    experiment_of,
    load_experiment,
    load_space,
    parse_experiment,
)
from mtl_search.spaces.layer_space import LayerSpace
from mtl_search.spaces.settings import AugmentationSettings
from mtl_search.spaces.space import SearchSpace

SMALL: dict[str, Any] = {
    "dataset": {"name": "multi_mnist", "train": 500},
    "backbone": {"stages": [{"width": 8}, {"width": 16, "stride": 2}]},
    "space": {"bank": ["paper", "linear"]},
}


def assert_refused(name: str | Path, changes: list[str], *fragments: str) -> None:
    """The message is one line, and holds every fragment."""
    with pytest.raises(ExperimentError) as caught:
        load_experiment(name, changes)
    message = str(caught.value)
    assert "\n" not in message
    for fragment in fragments:
        assert fragment in message


def assert_reads_back_equal(experiment: Experiment) -> None:
    assert parse_experiment(yaml.safe_load(experiment.to_yaml()), "again") == experiment


def write(path: Path, data: object) -> Path:
    path.write_text(data if isinstance(data, str) else yaml.safe_dump(data), encoding="utf-8")
    return path


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return write(tmp_path / "small.yaml", SMALL)


@pytest.mark.parametrize(
    ("change", "fragments"),
    [
        # unknown keys, at every depth
        ("serch.trials=3", ["`serch` is no key", "Did you mean `search`?"]),
        ("search.trails=3", ["`search.trails` is no key", "Did you mean `trials`?"]),
        ("backbone.stages.1.widht=3", ["`backbone.stages.1.widht` is no key", "Did you mean `width`?"]),
        ("space.layers.1.shard_ratio=1", ["`space.layers.1.shard_ratio` is no key", "Did you mean `shared_ratio`?"]),
        ("constraints.mac=9", ["`constraints.mac` is no key", "Did you mean `macs`?"]),
        ("search.int=3", ["`search.int` is no key"]),
        # unknown names
        ("space.bank=[paper, gausian]", ["`space.bank`", "no bank or primitive `gausian`", "Did you mean `gaussian`?"]),
        ("space.bank=random*3+shft", ["`space.bank`", "`shft`", "Did you mean `shift`?"]),
        ("space.layers.0.bank=sobl", ["`space.layers.0.bank`", "Did you mean `sobel`?"]),
        ("dataset.name=multi_mnst", ["`dataset.name`", "no dataset `multi_mnst`", "Did you mean `multi_mnist`?"]),
        (
            "dataset.name='nowhere:'",
            ["`dataset.name`", "`nowhere:` must have the form `my_package.module:Name`"],
        ),
        ("objectives=[acuracy, macs]", ["`objectives`", "no objective `acuracy`", "Did you mean `accuracy`?"]),
        ("search.sampler=tpee", ["`search.sampler`", "but got 'tpee'", "Did you mean `tpe`?"]),
        ("backbone.kind=residul", ["`backbone.kind`", "but got 'residul'", "Did you mean `residual`?"]),
        ("space.granularity=stge", ["`space.granularity`", "but got 'stge'", "Did you mean `stage`?"]),
        ("space.specific=cnov", ["`space.specific`", "but got 'cnov'", "Did you mean `conv`?"]),
        ("space.routing=7", ["`space.routing`", "but got 7", "Valid: mixed, strict."]),
        ("training.schedule=cosin", ["`training.schedule`", "Did you mean `cosine`?"]),
        # values out of range
        ("space.shared_ratio=1.3", ["`space.shared_ratio.0`", "less than or equal to 1", "but got 1.3"]),
        ("space.shared_ratio=[0.5, 1.3]", ["`space.shared_ratio.1`", "but got 1.3"]),
        ("space.branch_depth=[1, -1]", ["`space.branch_depth.1`", "greater than or equal to 0", "but got -1"]),
        ("space.width_multiplier=[1, 0]", ["`space.width_multiplier.1`", "but got 0"]),
        ("space.width_multiplier=1000000", ["`space.width_multiplier.0`", "1000", "but got 1000000"]),
        ("space.bank=random*0", ["`space.bank` must be a bank", "but got 'random*0'"]),
        ("backbone.stages.0.width=0", ["`backbone.stages.0.width`", "greater than or equal to 1", "but got 0"]),
        ("backbone.stages=[]", ["`backbone.stages` must hold at least one item", "but got []"]),
        ("search.workers=-1", ["`search.workers` must be `auto` or a whole number from 0 to 10,000", "but got -1"]),
        ("search.workers=many", ["`search.workers` must be `auto`", "but got 'many'"]),
        ("search.trials=0", ["`search.trials`", "greater than or equal to 1", "but got 0"]),
        ("search.seed=-1", ["`search.seed`", "but got -1"]),
        ("constraints.macs=0", ["`constraints.macs`", "greater than or equal to 1", "but got 0"]),
        ("training.epochs=0", ["`training.epochs`", "but got 0"]),
        ("training.label_smoothing=1", ["`training.label_smoothing`", "less than 1", "but got 1"]),
        (
            "training.augmentation.shift=-1",
            ["`training.augmentation.shift`", "greater than or equal to 0", "but got -1"],
        ),
        ("training.augmentation={shift: 0}", ["`training.augmentation` must have a `shift` above 0 or `flip: true`"]),
        ("training.augmentation={shfit: 2}", ["`training.augmentation.shfit` is no key", "Did you mean `shift`?"]),
        ("training.augmentation={flip: sideways}", ["`training.augmentation.flip` must be `true` or `false`"]),
        ("space.layers={7: {bank: paper}}", ["`space.layers`", "from 0 to 1", "but got 7"]),
        ("space.layers={-1: {bank: paper}}", ["`space.layers`", "from 0 to 1", "but got -1"]),
        # options
        ("space.shared_ratio=[]", ["`space.shared_ratio` must offer at least one option", "but got []"]),
        ("space.bank=[paper, paper]", ["`space.bank` must offer at least one option, none of them twice"]),
        ("objectives=[accuracy]", ["`objectives` must name at least one quality and at least one cost", "accuracy"]),
        ("objectives=[macs, total_parameters]", ["`objectives` must name at least one quality"]),
        ("objectives=[accuracy, macs, macs]", ["`objectives`", "none of them twice"]),
        # kinds of values
        ("space=3", ["`space` must be a mapping with keys", "but got 3"]),
        ("dataset=multi_mnist", ["`dataset` must be a mapping with keys", "but got 'multi_mnist'"]),
        ("backbone.stages=[3]", ["`backbone.stages.0` must be a mapping with keys", "but got 3"]),
        ("search.early_stopping={grace: 50}", ["`search.early_stopping.grace`", "below `training.epochs`", "got 50"]),
        ("space.layers=[1]", ["`space.layers` must be a mapping with keys", "but got [1]"]),
        ("space.layers={a: {bank: paper}}", ["`space.layers.a` must be a whole number", "but got 'a'"]),
        ("objectives=accuracy", ["`objectives` must be a list", "but got 'accuracy'"]),
        ("training.epochs=three", ["`training.epochs` must be a whole number", "but got 'three'"]),
        ("training.augmentation=2", ["`training.augmentation` must be a mapping with keys", "but got 2"]),
        ("training.epochs=1.5", ["`training.epochs` must be a whole number", "but got 1.5"]),
        ("training.learning_rate=fast", ["`training.learning_rate` must be a number", "but got 'fast'"]),
        ("space.bank=3", ["`space.bank.0` must be a text", "but got 3"]),
        ("name=3", ["`name` must be a text", "but got 3"]),
        ("1=3", ["`1` must be a text"]),
        # missing
        ("dataset={}", ["`dataset.name` is missing"]),
        ("backbone.stages=[{}]", ["`backbone.stages.0.width` is missing"]),
    ],
)
def test_wrong_value_names_file_key_and_what_was_found(small: Path, change: str, fragments: list[str]) -> None:
    assert_refused(small, [change], f"{small}: ", *fragments)


def test_nothing_to_choose_is_refused(small: Path) -> None:
    changes = ["space.bank=paper", "space.shared_ratio=1.0", "space.branch_depth=[1, 2]"]
    assert_refused(small, changes, str(small), "`space` leaves nothing to choose", "two options or more")
    assert load_experiment(small, [*changes, "space.width_multiplier=[1, 2]"]).search_space.size == 2


def test_granularity_over_different_options_is_refused(small: Path) -> None:
    changes = ["space.granularity=network", "space.layers.1.bank=[sobel, shift]"]
    assert_refused(small, changes, str(small), "`space.granularity` joins layers whose options differ", "'network'")


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        ("- dataset\n- backbone\n", ["must be a mapping with keys", "but got ['dataset', 'backbone']"]),
        ("[1, 2, 3, 4, 5, 6, 7, 8, 9]", ["must be a mapping with keys", "but got a list of 9"]),
        ("", ["must be a mapping with keys", "but got None"]),
        ("just words", ["must be a mapping with keys", "but got 'just words'"]),
        ("space: [1, 2\nsearch: {", ["is not YAML", "line 2"]),
        (
            "space: !!python/object/apply:os.getcwd []",
            ["line 1: must hold plain data only, but the tag is "],
        ),
        ("name: 2026-13-01", ["line 1: '2026-13-01' is read as a date: write it between quotes."]),
        ("search: {seed: 1}\nname: a\nsearch: {seed: 2}", ["line 3: key `search` stands twice"]),
        ("search: {seed: 1, trials: 3, seed: 2}", ["line 1: key `seed` stands twice"]),
        ("name: a\x00b", ["is not YAML"]),
        ("name: a", ["`dataset` is missing"]),
        ("dataset: {name: multi_mnist}", ["`backbone` is missing"]),
    ],
)
def test_wrong_file_is_refused_by_its_name(tmp_path: Path, text: str, fragments: list[str]) -> None:
    path = write(tmp_path / "wrong.yaml", text)
    assert_refused(path, [], f"{path}: ", *fragments)


def test_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "picture.yaml"
    path.write_bytes(b"\xff\xd8\xff\xe0")
    assert_refused(path, [], f"{path}: must be in UTF-8, but byte 0xff in line 1 is not.")


@pytest.mark.parametrize(
    ("name", "fragments"),
    [
        ("missing.yaml", ["missing.yaml: there is no such file"]),
        ("some/where", ["some/where: there is no such file"]),
        ("quickstrt", ["there is no experiment `quickstrt`", "Did you mean `quickstart`?"]),
    ],
)
def test_missing_file_is_refused(name: str, fragments: list[str]) -> None:
    assert_refused(name, [], *fragments)


@pytest.mark.parametrize(
    ("change", "fragment"),
    [
        ("search.trials", "must be `dotted.key=value`"),
        ("=3", "must be `dotted.key=value`"),
        ("search..trials=3", "must be `dotted.key=value`"),
        ("search.trials=[1", "the value: is not YAML: line 2: "),
        ("name=2026-13-01", "the value: line 1: '2026-13-01' is read as a date: write it between quotes."),
        ("training.learning_rate=.inf", "the value: line 1: a number must be finite and below 2^63, but got '.inf'."),
        ("backbone.stages.5.width=3", "there is no such key"),
        ("backbone.stages.first=3", "there is no such key"),
        ("dataset.name.x=3", "there is no such key"),
    ],
)
def test_wrong_set_is_refused(small: Path, change: str, fragment: str) -> None:
    assert_refused(small, [change], f"--set {change}: ", fragment)


def test_set_changes_values_at_every_depth(small: Path) -> None:
    changes = ["search.trials=3", "backbone.stages.1.width=24", "space.layers.0.bank=[sobel, shift]", "search.trials=7"]
    experiment = load_experiment(small, changes)
    assert experiment.search.trials == 7
    assert [stage.width for stage in experiment.backbone.stages] == [8, 24]
    assert [layer.bank for layer in experiment.search_space.layers] == [("sobel", "shift"), ("paper", "linear")]


def test_options_of_a_layer_replace_the_general_ones_singly(small: Path) -> None:
    space = load_experiment(small, ["space.shared_ratio=[1, 0.5]", "space.layers.1.shared_ratio=0.25"]).search_space
    assert space.layers == (
        LayerSpace(("paper", "linear"), (1.0, 0.5), (1,)),
        LayerSpace(("paper", "linear"), (0.25,), (1,)),
    )


def test_a_merge_key_is_no_double_key(tmp_path: Path) -> None:
    stages = "  stages:\n    - &first {width: 8}\n    - {<<: *first, stride: 2}\n"
    path = write(tmp_path / "merge.yaml", f"dataset: {{name: multi_mnist}}\nbackbone:\n{stages}")
    assert load_space(path).backbone == Backbone((Stage(8), Stage(8, 1, 2)))


def test_name_defaults_to_the_file(small: Path) -> None:
    assert load_experiment(small).name == "small"
    assert load_experiment(small, ["name=other"]).name == "other"


def test_experiment_reads_back_equal(small: Path) -> None:
    changes = ["space.layers.1.shared_ratio=[0.5, 1]", "constraints.macs=100000", "search.workers=auto"]
    for experiment in (load_experiment(small), load_experiment(small, changes)):
        assert_reads_back_equal(experiment)
    assert "learning_rate: 0.003" in load_experiment(small).to_yaml()


def test_augmentation_reads_back_equal_and_is_none_unless_asked_for(small: Path) -> None:
    plain, moved = load_experiment(small), load_experiment(small, ["training.augmentation={shift: 2, flip: true}"])
    assert plain.training.augmentation is None
    assert moved.training.augmentation == AugmentationSettings(shift=2, flip=True)
    assert "augmentation" not in plain.to_yaml()
    assert_reads_back_equal(moved)


@pytest.mark.parametrize("name", experiment_names())
def test_shipped_experiment_loads_and_reads_back_equal(name: str) -> None:
    experiment = load_experiment(name)
    assert_reads_back_equal(experiment)
    assert experiment.name == name
    assert experiment.description
    assert load_space(name) == experiment.search_space
    assert experiment.search_space.contains(experiment.search_space.sample(0))


def test_quickstart_is_shipped() -> None:
    assert "quickstart" in experiment_names()


def test_changed_is_checked_and_leaves_the_rest() -> None:
    before = parse_experiment(copy.deepcopy(SMALL), "small")
    after = before.changed({"search": {"trials": 5}, "dataset": {"name": "multi_fashion"}})
    assert (before.search.trials, after.search.trials) == (24, 5)
    assert (after.dataset.name, after.dataset.options) == ("multi_fashion", {})
    assert after.search_space == before.search_space
    with pytest.raises(ExperimentError, match=r"`search\.trials`.*but got 0"):
        before.changed({"search": {"trials": 0}})


BACKBONE = Backbone((Stage(8, depth=2), Stage(12, stride=2)), "residual", stem=4, stem_stride=2, head_pool=2)
OPEN = LayerSpace(("paper", "conv"), (1.0, 0.5), (0, 2))


@pytest.mark.parametrize(
    "space",
    [
        SearchSpace(BACKBONE, (OPEN, LayerSpace(), LayerSpace(("sobel*2",), (0.0,), (3,))), (0.5, 2.0)),
        SearchSpace(BACKBONE, (OPEN, OPEN, LayerSpace()), granularity="stage", specific="conv"),
        SearchSpace(BACKBONE, (OPEN,) * 3, granularity="network", routing="mixed"),
    ],
    ids=["layer", "stage", "network"],
)
def test_experiment_of_a_bare_space_has_that_space(space: SearchSpace) -> None:
    experiment = experiment_of(space, "multi_mnist", {"name": "multi_mnist", "train": 300})
    assert experiment.search_space == space
    assert (experiment.dataset.name, experiment.dataset.options) == ("multi_mnist", {"train": 300})
    assert_reads_back_equal(experiment)
