import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mtl_search.errors import FieldError, UserError
from mtl_search.spaces.architecture import Architecture, LayerChoice
from mtl_search.spaces.backbone import Backbone, Stage
from mtl_search.spaces.experiment import load_space

BACKBONE = Backbone((Stage(16), Stage(32, 1, 2)))
ARCHITECTURE = Architecture(BACKBONE, (LayerChoice("paper", 1), LayerChoice("linear", 0.5, 2)))

Change = Callable[[dict[str, Any]], object]


def assert_round_trip(architecture: Architecture) -> None:
    again = Architecture.from_json(architecture.to_json())
    assert again == architecture
    assert hash(again) == hash(architecture)
    assert again.id == architecture.id
    assert json.loads(architecture.to_json()) == json.loads(json.dumps(architecture.to_dict()))


def assert_refused(text: str, *fragments: str) -> None:
    with pytest.raises(UserError) as caught:
        Architecture.from_json(text)
    for fragment in fragments:
        assert fragment in str(caught.value)


def changed(change: Change) -> str:
    data = json.loads(ARCHITECTURE.to_json())
    change(data)
    return json.dumps(data)


def test_json_round_trip_over_samples() -> None:
    space = load_space("quickstart")
    samples = {space.sample(seed) for seed in range(200)}
    assert len(samples) > 150
    for architecture in samples:
        assert_round_trip(architecture)


def test_json_round_trip_of_every_field() -> None:
    backbone = Backbone((Stage(8, 2), Stage(12, 1, 2)), "residual", stem=6, stem_stride=2, head_pool=3)
    layers = (LayerChoice("conv"), LayerChoice("random*3+shift", 0.25, 0), LayerChoice("sobel", 0, 3))
    assert_round_trip(Architecture(backbone, layers, 1.5, "conv", "mixed"))


def test_json_has_a_line_per_layer() -> None:
    lines = [line.strip().rstrip(",") for line in ARCHITECTURE.to_json().splitlines()]
    assert '{"bank": "paper", "shared_ratio": 1.0, "branch_depth": 0}' in lines
    assert '{"bank": "linear", "shared_ratio": 0.5, "branch_depth": 2}' in lines


@pytest.mark.parametrize(
    ("change", "fragments"),
    [
        (lambda data: data.update(layer=[]), ["`layer`", "Did you mean `layers`?"]),
        (lambda data: data["backbone"].update(steem=8), ["`backbone.steem`", "Did you mean `stem`?"]),
        (lambda data: data["backbone"]["stages"][1].update(widht=8), ["`backbone.stages.1.widht`", "`width`?"]),
        (lambda data: data["layers"][1].update(ratio=0.5), ["`layers.1.ratio`", "Valid: bank, branch_depth"]),
        (lambda data: data.pop("layers"), ["`layers` is missing"]),
        (lambda data: data.pop("backbone"), ["`backbone` is missing"]),
        (lambda data: data["backbone"].pop("stages"), ["`backbone.stages` is missing"]),
        (lambda data: data["backbone"]["stages"][0].pop("width"), ["`backbone.stages.0.width` is missing"]),
        (lambda data: data["layers"][1].pop("bank"), ["`layers.1.bank` is missing"]),
        (lambda data: data["layers"][0].update(bank="paperr"), ["`layers.0`", "`paperr`", "Did you mean `paper`?"]),
        (lambda data: data["layers"][0].update(bank=3), ["`layers.0.bank`", "but got 3"]),
        (lambda data: data["layers"][1].update(shared_ratio=1.3), ["`layers.1.shared_ratio`", "0 to 1", "got 1.3"]),
        (lambda data: data["layers"][1].update(shared_ratio="half"), ["`layers.1.shared_ratio`", "got 'half'"]),
        (lambda data: data["layers"][1].update(shared_ratio=float("nan")), ["numbers must be finite", "'NaN'"]),
        (lambda data: data["layers"][1].update(branch_depth=-1), ["`layers.1.branch_depth`", "at least 0", "got -1"]),
        (lambda data: data["layers"][1].update(branch_depth=1.0), ["`layers.1.branch_depth`", "got 1.0"]),
        (lambda data: data["layers"][1].update(branch_depth=True), ["`layers.1.branch_depth`", "got True"]),
        (lambda data: data["layers"].pop(), ["`layers`", "must hold 2 choices", "got 1"]),
        (lambda data: data.update(layers="all"), ["`layers`", "list of objects", "got 'all'"]),
        (lambda data: data.update(layers=None), ["`layers`", "got None"]),
        (lambda data: data.update(backbone="plain"), ["`backbone`", "must be an object", "got 'plain'"]),
        (lambda data: data["backbone"].update(kind="residul"), ["`backbone.kind`", "plain, residual", "'residul'"]),
        (lambda data: data["backbone"].update(stages=[]), ["`backbone.stages`", "at least one"]),
        (lambda data: data["backbone"].update(stem=-2), ["`backbone.stem`", "got -2"]),
        (lambda data: data["backbone"]["stages"][0].update(width=0), ["`backbone.stages.0.width`", "got 0"]),
        (lambda data: data.update(width_multiplier=0), ["`width_multiplier`", "got 0"]),
        (lambda data: data.update(specific="cnv"), ["`specific`", "nlp, conv", "'cnv'"]),
        (lambda data: data.update(routing=None), ["`routing`", "strict, mixed", "None"]),
        (lambda data: data.update(format=2), ["`format`", "must be 1", "got 2"]),
        (lambda data: data.pop("format"), ["`format`", "got None"]),
    ],
)
def test_bad_json_names_key_and_what_was_found(change: Change, fragments: list[str]) -> None:
    assert_refused(changed(change), *fragments)


@pytest.mark.parametrize(
    ("text", "fragment"),
    [("[1, 2]", "got list"), ("3", "got int"), ("null", "got NoneType"), ("{", "not a JSON document"), ("", "JSON")],
)
def test_text_that_is_no_object_is_refused(text: str, fragment: str) -> None:
    assert_refused(text, fragment)


def test_load_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with pytest.raises(UserError, match=r"a\.json: cannot be read: No such file"):
        Architecture.load(path)
    path.write_text("[]", encoding="utf-8")
    with pytest.raises(UserError, match=r"a\.json: an architecture must be a JSON object, but got list"):
        Architecture.load(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"a\.json: must be in UTF-8, but is in UTF-16"):
        Architecture.load(path)
    path.write_text(ARCHITECTURE.to_json(), encoding="utf-8")
    assert Architecture.load(path) == ARCHITECTURE


@pytest.mark.parametrize("ratio", [1, 1.0])
def test_sharing_everything_stores_no_depth(ratio: float) -> None:
    choice = LayerChoice("paper", ratio, branch_depth=3)
    assert choice.branch_depth == 0
    assert choice == LayerChoice("paper", 1.0, 0)
    assert LayerChoice("paper", 0.75, 3).branch_depth == 3


def test_equal_architectures_are_one_key() -> None:
    same = Architecture(BACKBONE, (LayerChoice("paper", 1.0, 2), LayerChoice("linear", 0.5, 2)), 1)
    other = dataclasses.replace(ARCHITECTURE, width_multiplier=2)
    assert {ARCHITECTURE: "a", same: "b", other: "c"} == {ARCHITECTURE: "b", other: "c"}
    assert same.id == ARCHITECTURE.id != other.id


def test_id_is_pinned() -> None:
    assert ARCHITECTURE.id == "be6b845b"


def test_wrong_number_of_layers_is_refused() -> None:
    with pytest.raises(FieldError, match=r"`layers` must hold 2 choices, one per layer, but got 3"):
        Architecture(BACKBONE, (LayerChoice("paper"),) * 3)


def test_width_is_scaled_rounded_and_at_least_one() -> None:
    narrow = dataclasses.replace(ARCHITECTURE, width_multiplier=0.01)
    assert [ARCHITECTURE.width(stage) for stage in BACKBONE.stages] == [16, 32]
    assert [narrow.width(stage) for stage in BACKBONE.stages] == [1, 1]
    assert dataclasses.replace(ARCHITECTURE, width_multiplier=1.1).width(BACKBONE.stages[0]) == 18


def test_string_reads_as_one_line() -> None:
    assert str(ARCHITECTURE) == "x1 [paper 100% · linear 50%/2]"
    unusual = dataclasses.replace(ARCHITECTURE, width_multiplier=1.5, specific="conv", routing="mixed")
    assert str(unusual) == "x1.5 [paper 100% · linear 50%/2] conv mixed"
