"""What would take all memory or all day is refused at the door, by one message with the limit, and nothing is built."""

import json
import math
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from mtl_search import Architecture, Backbone, LayerChoice, LayerSpace, Stage, build_model, compare, load_experiment
from mtl_search.banks import primitives_of
from mtl_search.cli import main
from mtl_search.datasets import load_dataset
from mtl_search.errors import FieldError, UserError, no_such_file
from mtl_search.experiment import parse_experiment
from mtl_search.methods import make_method
from mtl_search.networks.paths import module_shapes
from mtl_search.space import SearchSpace
from mtl_search.tasks import Binary, Task, make_task

EXPERIMENT = """
dataset: {name: multi_mnist, train: 300}
backbone: {stages: [{width: 4}]}
space: {shared_ratio: [1.0, 0.5]}
"""

SETTINGS = {
    "backbone.stages.0.width=100000000": "less than or equal to 65536, but got 100000000.",
    "backbone.stages.0.depth=1000000000": "less than or equal to 256, but got 1000000000.",
    "backbone.stages.0.stride=65536": "less than or equal to 256, but got 65536.",
    "backbone.stages.0.dilation=65536": "less than or equal to 256, but got 65536.",
    "backbone.stem=100000000": "less than or equal to 65536, but got 100000000.",
    "backbone.stem_stride=65536": "less than or equal to 256, but got 65536.",
    "backbone.decoder=100000000": "less than or equal to 65536, but got 100000000.",
    "backbone.head_pool=100000": "less than or equal to 64, but got 100000.",
    "space.branch_depth=[1, 1000000]": "less than or equal to 64, but got 1000000.",
    "space.width_multiplier=[1, 1.0e+9]": "less than or equal to 1000, but got 1000000000.0.",
    f"space.shared_ratio={[number / 1000 for number in range(1000)]}": "must have at most 100 items",
    "space.bank=random*99+shift": "must have at most 99 primitives, but got '100: random*99+shift'.",
    f"space.bank={'+'.join(['shift'] * 500)}": "must have at most 1000 characters, but got 'shift+shift",
    "training.epochs=1000000000": "less than or equal to 1000000, but got 1000000000.",
    "training.batch_size=1000000000": "less than or equal to 1000000, but got 1000000000.",
    "training.augmentation={shift: 1000000000}": "less than or equal to 1000000, but got 1000000000.",
    "training.learning_rate=1.0e+300": "less than or equal to 1000000, but got 1e+300.",
    "training.weight_decay=1.0e+300": "less than or equal to 1000000, but got 1e+300.",
    "search.early_stopping.factor=1.0e+300": "less than or equal to 1000000, but got 1e+300.",
    "search.trials=1000000000": "less than or equal to 1000000, but got 1000000000.",
    "search.workers=1000000000": "must be `auto` or a whole number from 0 to 10,000, but got 1000000000.",
    "search.cpus=1000000000": "less than or equal to 10000, but got 1000000000.",
    "search.gpus=1000000000": "less than or equal to 10000, but got 1000000000.",
    "search.retries=1000000000": "less than or equal to 1000000, but got 1000000000.",
    "search.hours=1.0e+300": "less than or equal to 1000000, but got 1e+300.",
    f"search.points={[{}] * 2000}": "must have at most 1,000 items, but got a list of 2000.",
    f"objectives={[f'a/{n}' for n in range(20)]}": "must have at most 8 items, but got a list of 20.",
    f"name={'x' * 500}": "must have at most 100 characters, but got 'xxxx",
    'name="a\\x1b[2Jb"': r"must hold no control characters, but got 'a\x1b[2Jb'.",
    'name="abc\\u202etxt"': r"must hold no control characters, but got 'abc\u202etxt'.",
    "dataset.train=10000000000000": "`dataset.train` must be a finite number of at most 4,294,967,296, but got 1000",
    "training.balancing={name: dwa, temperature: 1.0e+300}": "`training.balancing.temperature` must be a finite number",
    "dataset.root=https://example.org/data": "must be a path on this machine: fetch what lies elsewhere first",
    "dataset={name: table, file: s3://bucket/a.csv, tasks: [a]}": "`dataset.file` must be a path on this machine:",
    "dataset={name: table, file: file:///a.csv, tasks: [a]}": "and give the path of it here, but got 'file:///a.csv'.",
    "dataset={name: union, parts: {a: {name: table, file: http://a/b}}}": "`dataset.parts.a.file` must be a path on",
    "training.epochs=true": "`training.epochs` must be a number, but got True.",
    "search.workers=true": "`search.workers` must be a number, but got True.",
    "space.shared_ratio=[true, 0.5]": "`space.shared_ratio` must be a number, but got [True, 0.5].",
    "backbone.stages.0.width=true": "`backbone.stages.0.width` must be a number, but got True.",
    f"a{'.a' * 3000}=1": "must be `dotted.key=value`.",
}


@pytest.mark.parametrize("change", SETTINGS, ids=[change[:30] for change in SETTINGS])
def test_a_setting_above_its_limit(change: str, tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text(EXPERIMENT)
    with pytest.raises(UserError) as refused:
        load_experiment(tmp_path / "my.yaml", [change])
    message = str(refused.value)
    assert SETTINGS[change] in message
    assert message.isprintable()
    assert len(message) < 400 + len(str(tmp_path))


def test_layers_are_limited_together() -> None:
    stages = [{"width": 4, "depth": 200}, {"width": 4, "depth": 57}]
    data = {"dataset": {"name": "multi_mnist"}, "backbone": {"stages": stages}}
    with pytest.raises(UserError, match=r"`backbone\.stages` must have at most 256 layers together, but got 257\."):
        parse_experiment(data, "here")


def test_choices_of_a_layer_are_limited_together() -> None:
    ratios, depths = tuple(n / 100 for n in range(100)), tuple(range(1, 12))
    with pytest.raises(FieldError, match=r"at most 1,000 choices together .* but got '1 x 100 x 11'"):
        LayerSpace(("paper",), ratios, depths)
    largest = LayerSpace(("paper",), ratios, depths[:10])
    assert largest.size == len(largest.choices()) == 1000


def test_the_size_of_a_layer_is_that_of_its_choices() -> None:
    layer = LayerSpace(("paper", "linear"), (1.0, 0.5, 0.25), (0, 1, 2))
    assert layer.size == len(layer.choices()) == 14
    assert SearchSpace(Backbone((Stage(4, depth=2),)), (layer, layer)).size == 14**2


def architecture(**changes: Any) -> dict[str, Any]:
    made = Architecture(Backbone((Stage(8),)), (LayerChoice("paper", 0.5),)).to_dict()
    for key, value in changes.items():
        place: Any = made
        *names, last = key.split("__")
        for name in names:
            place = place[int(name) if name.isdecimal() else name]
        place[last] = value
    return made


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone__stages__0__width": 10**8}, "`backbone.stages.0.width` must be at most 65,536, but got 100000000."),
        ({"backbone__stages__0__depth": 10**9}, "`backbone.stages.0.depth` must be at most 256, but got 1000000000."),
        ({"backbone__stages__0__stride": 65536}, "`backbone.stages.0.stride` must be at most 256, but got 65536."),
        ({"backbone__stages__0__dilation": 65536}, "`backbone.stages.0.dilation` must be at most 256, but got 65536."),
        ({"backbone__stem": 10**8}, "`backbone.stem` must be at most 65,536, but got 100000000."),
        ({"backbone__stem_stride": 65536}, "`backbone.stem_stride` must be at most 256, but got 65536."),
        ({"backbone__head_pool": 10**6}, "`backbone.head_pool` must be at most 64, but got 1000000."),
        ({"backbone__decoder": 10**8}, "`backbone.decoder` must be at most 65,536, but got 100000000."),
        ({"layers__0__branch_depth": 10**9}, "`layers.0.branch_depth` must be at most 64, but got 1000000000."),
        ({"layers__0__bank": "random\x1b[2J"}, r"`layers.0.bank` must be a bank, a primitive, or primitives joined"),
        ({"a\x1b[2J" + "x" * 500: 1}, r"`a\x1b[2Jxxx"),
        ({"width_multiplier": 10**17}, "`width_multiplier` must be a number from 0.001 to 1000, but got 1000000000"),
    ],
)
def test_an_architecture_above_a_limit(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(architecture(**changes)))
    with pytest.raises(UserError) as refused:
        Architecture.load(path)
    assert message in str(refused.value)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "must hold at most 40 maps or lists inside each other."),
        ('{"format": ' + "9" * 6000 + "}", "whole numbers must have at most 18 digits, but one has 6000."),
        ('{"format": NaN}', "numbers must be finite, but one is 'NaN'."),
        ('{"format": "\\ud800"}', r"holds half of a pair of characters: '\ud800'."),
    ],
)
def test_an_architecture_file_that_could_harm(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UserError) as refused:
        Architecture.load(tmp_path / "a.json")
    assert str(refused.value) == f"{tmp_path}/a.json: {message}"


TASKS: list[Task] = [Binary("a"), Binary("b")]


@pytest.mark.parametrize(
    ("stages", "options", "shape", "message"),
    [
        ((Stage(60_000), Stage(60_000)), {}, (1, 8, 8), "at most 500,000,000 weights, but got one of 3,600,180,000"),
        ((Stage(65_000),), {"head_pool": 64}, (1, 8, 8), "at most 500,000,000 weights, but got one of 532,545,000"),
        ((Stage(500),) * 9, {}, (1, 3000, 3000), "at most 2,000,000,000 features of a sample, but got 40,500,000,000"),
        ((Stage(65_536),), {"kind": "vector", "stem": 65_536}, (4,), "at most 500,000,000 weights"),
    ],
)
def test_a_network_that_cannot_be_built_is_refused_before_it_is(
    stages: tuple[Stage, ...], options: dict[str, Any], shape: tuple[int, ...], message: str
) -> None:
    bank = "vector" if options.get("kind") == "vector" else "shift"
    made = Architecture(Backbone(stages, **options), (LayerChoice(bank),) * len(stages))
    with pytest.raises(UserError, match=message):
        build_model(made, TASKS, shape)


def test_modules_of_a_baseline_that_cannot_be_built_are_refused() -> None:
    with pytest.raises(UserError, match=r"at most 500,000,000 weights, but got one of 36,864,576,000"):
        module_shapes(Backbone((Stage(64), Stage(64))), (1, 8, 8), 1000)


@pytest.mark.parametrize(
    "name", ["=cmd|'calc'!A0", "+1", "-1", "@x", "a\x1b[2J", "a\nb", "a\u202eb", "a\udc80", "a" * 101]
)
def test_the_name_of_a_task_can_be_a_column(name: str) -> None:
    with pytest.raises(UserError) as refused:
        make_task("binary", name)
    assert "`tasks." in str(refused.value)
    assert "must have at most 100 characters, no control characters, and not begin with =+-@" in str(refused.value)
    assert str(refused.value).isprintable()


def test_letters_of_every_script_are_names() -> None:
    for name in ("Größe", "猫", "log p+1", "a-b", "x" * 100):
        assert make_task("binary", name).name == name


def test_expressions_of_banks_have_a_length() -> None:
    assert len(primitives_of("random*99")) == 99


FILES = {
    "pipe": "must be an ordinary file, but is a pipe.",
    "folder": "must be an ordinary file, but is a folder.",
    "device": "must be an ordinary file, but is a device.",
    "latin": "must be in UTF-8, but byte 0xfc in line 2 is not.",
    "large": "must have at most 4,194,304 bytes, but has 5,000,000.",
}


@pytest.mark.parametrize("kind", FILES)
def test_an_experiment_is_an_ordinary_file(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "my.yaml"
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "device":
            path.symlink_to("/dev/zero")
        case "latin":
            path.write_bytes("name: x\ndescription: ü\n".encode("latin-1"))
        case "large":
            path.write_text("#" * 5_000_000)
    monkeypatch.setattr(sys, "argv", ["mtl-search", "check", str(path)])
    with pytest.raises(SystemExit) as ended:
        main()
    printed = capsys.readouterr()
    assert (ended.value.code, printed.out, printed.err) == (2, "", f"error: {path}: {FILES[kind]}\n")


def test_a_recipe_is_read_within_limits(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="method `os:system` must be code of your own"):
        make_method("os:system", {})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": 10**9}, "`seeds` must be from 1 to 1,000, but got 1000000000."),
        ({"seeds": 0}, "`seeds` must be from 1 to 1,000, but got 0."),
        ({"workers": 10**9}, "`workers` must be from 0 to 10,000, but got 1000000000."),
    ],
)
def test_trainings_of_a_comparison_are_limited(options: dict[str, int], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as refused:
        compare(tmp_path, **options)
    assert str(refused.value) == message


def test_what_is_in_the_place_of_a_file_is_not_called_missing() -> None:
    assert no_such_file(Path("/dev/zero")) == "it is no ordinary file."


OPTIONS = [
    (
        "conal",
        {"alpha_rate": 1e308},
        "`options.alpha_rate` must be a finite number of at most 4,294,967,296, but got 1e",
    ),
    (
        "conal",
        {"alpha_rate": math.inf},
        "`options.alpha_rate` must be a finite number of at most 4,294,967,296, but got i",
    ),
    ("conal", {"clip": math.nan}, "`options.clip` must be a finite number of at most 4,294,967,296, but got nan."),
    ("conal", {"alpha_decay": True}, "`options.alpha_decay` must be a number, but got True."),
    (
        "recon",
        {"counting_epochs": 10**7},
        "`options.counting_epochs` must be less than or equal to 1000000, but got 10",
    ),
    ("recon", {"layers": 10**400}, "`options.layers` must be a finite number of at most 4,294,967,296, but got 10000"),
    (
        "interrogate",
        {"target": {"a": 0.1, "b": True}},
        "`options.target` must be a number, but got {'a': 0.1, 'b': True}.",
    ),
]
"""Method, its options, and how the message begins."""


@pytest.mark.parametrize(("method", "options", "message"), OPTIONS, ids=[str(one[1])[:30] for one in OPTIONS])
def test_an_option_that_is_no_number_of_use(method: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as refused:
        make_method(method, options)
    assert str(refused.value).startswith(message)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("size", [[10**9, 8], [8, 4097], [True, 8]])
def test_the_size_of_pictures_is_limited(size: list[Any], tmp_path: Path) -> None:
    options = {"root": str(tmp_path), "tasks": ["a"], "size": size}
    with pytest.raises(
        UserError, match=r"`dataset\.size(\.\d)?` must be (less than or equal to 4096|a number), but got"
    ):
        load_dataset("images", **options)
