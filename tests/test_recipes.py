"""Recipes: what they say, and what is refused."""

from pathlib import Path

import pytest

from mtl_search.comparison.recipes import load_baselines
from mtl_search.errors import ExperimentError, UnknownNameError
from mtl_search.spaces.backbone import Backbone, Stage
from mtl_search.spaces.ranges import Range
from mtl_search.spaces.yaml_files import yaml_files

BACKBONE = Backbone((Stage(8),))


def test_all_are_those_of_the_folder() -> None:
    found = load_baselines(["all"])
    assert {one.recipe for one in found} == set(yaml_files("baselines"))
    assert len({one.key for one in found}) == len(found)


def test_a_recipe_brings_all_its_variants_and_a_name_one_of_them() -> None:
    every = [one.key for one in load_baselines(["etr_nlp"])]
    assert every == ["etr_nlp@0.9", "etr_nlp@0.8", "etr_nlp@0.8-mixed"]
    assert [one.key for one in load_baselines(["etr_nlp@0.8", "etr_nlp@0.8", "recon"])] == ["etr_nlp@0.8", "recon"]


def test_a_variant_changes_its_recipe(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(
        "method: recon\noptions: {layers: 1}\nbalancing: dwa\nwidth_multiplier: 0.5\nvariants:\n  1: {}\n"
        "  two: {options: {layers: 2}, balancing: {name: dwa, temperature: 1}, width_multiplier: 2}\n",
        encoding="utf-8",
    )
    one, two = load_baselines([str(path)])
    assert (one.key, two.key) == ("own@1", "own@two")
    assert (one.options, two.options) == ({"layers": 1}, {"layers": 2})
    assert one.balancing is not None
    assert two.balancing is not None
    assert (one.balancing.options, two.balancing.options) == ({}, {"temperature": 1})
    assert [each.entrant(BACKBONE).width_multiplier for each in (one, two)] == [0.5, 2]


def test_a_recipe_says_what_is_tunable(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(
        "method: recon\noptions: {threshold: -0.3}\n"
        "tunable: {threshold: {low: -0.2, high: 0}, layers: [null, 1, 2]}\nvariants: {a: {}, b: {}}\n",
        encoding="utf-8",
    )
    for one in load_baselines([str(path)]):
        assert one.tunable == {"threshold": Range(-0.2, 0), "layers": (None, 1, 2)}
        assert one.options == {"threshold": -0.3}


def test_what_methods_have_to_tune_is_tunable() -> None:
    tunable = {one.recipe: set(one.tunable) for one in load_baselines(["all"])}
    assert tunable["interrogate"] == {"gate_rate", "sparsity_weight"}
    assert tunable["conal"] >= {"alpha_rate", "least_conflict"}
    assert {name for name, options in tunable.items() if not options} == {
        "balanced",
        "etr_nlp",
        "hard_sharing",
        "hard_sharing_widths",
        "mtan",
        "single_task",
    }


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        ("method: reckon", ["`method`: there is no method `reckon`", "Did you mean `recon`?"]),
        ("methd: recon", ["`methd` is no key of a recipe", "Did you mean `method`?"]),
        ("method: recon\noptions: {layrs: 1}", ["`options.layrs` is no option of `recon`", "Did you mean `layers`?"]),
        ("method: recon\noptions: {layers: 0}", ["`options.layers`", "but got 0"]),
        ("method: recon\nbalancing: pcgrd", ["there is no balancing `pcgrd`", "Did you mean `pcgrad`?"]),
        ("method: recon\nbalancing: {name: dwa, heat: 2}", ["`balancing.heat` is no option of `dwa`"]),
        ("method: recon\nvariants: {a: {width_multiplier: 0}}", ["`variants.a.width_multiplier`", "but got 0"]),
        (
            "method: hard_sharing\noptions: {layers: 2}",
            ["`options.layers` is no option of `hard_sharing`. It has none."],
        ),
        ("options: {}", ["`method` is missing"]),
        ("method: mtan\nvariants: {../up: {}}", ["`variants`", "letters, digits"]),
        ("method: mtan\nvariants: {'a,b': {}}", ["`variants`", "letters, digits"]),
        ("method: [", ["is not YAML"]),
        (
            "method: recon\ntunable: {treshold: {low: -0.2, high: 0}}",
            ["`tunable.treshold` is no option of `recon`", "Did you mean `threshold`?"],
        ),
        (
            "method: recon\ntunable: {threshold: {low: -0.2, hi: 0}}",
            ["`tunable.threshold.hi` is no option of `range`", "Did you mean `high`?"],
        ),
        (
            "method: recon\ntunable: {threshold: {low: 0, high: -1}}",
            ["`tunable.threshold`: `high`", "above `low`", "-1.0"],
        ),
        ("method: recon\ntunable: {threshold: {low: 0}}", ["`tunable.threshold.high` is missing"]),
        ("method: recon\ntunable: {threshold: {low: 0, high: 2}}", ["`tunable.threshold`", "equal to 1, but got 2"]),
        ("method: recon\ntunable: {layers: {low: 1, high: 3}}", ["`tunable.layers`", "integer", "but got 1.8"]),
        ("method: recon\ntunable: {threshold: [0]}", ["`tunable.threshold` must be a range, or 2 to 100 values"]),
        ("method: recon\ntunable: {threshold: [0, 0]}", ["`tunable.threshold`", "none of them twice, but got [0, 0]"]),
        ("method: recon\ntunable: {threshold: 0}", ["`tunable.threshold` must be a range, or", "but got 0"]),
        ("method: recon\ntunable: [threshold]", ["`tunable` must be a mapping"]),
        ("method: mtan\ntunable: {depth: [1, 2]}", ["`tunable.depth` is no option of `mtan`. It has none."]),
        (
            "method: recon\ntunable: {layers: [1, 2]}\nvariants: {a: {options: {layers: 3}}}",
            ["`tunable.layers` must be an option that variants do not change, but got 3"],
        ),
    ],
)
def test_a_wrong_recipe_is_refused_by_file_key_and_rule(tmp_path: Path, text: str, fragments: list[str]) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ExperimentError) as caught:
        load_baselines([str(path)])
    assert "\n" not in str(caught.value)
    for fragment in [f"{path}: ", *fragments]:
        assert fragment in str(caught.value)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ExperimentError, match=r"there is no baseline `recn`.*Did you mean `recon`"):
        load_baselines(["recn"])
    with pytest.raises(UnknownNameError, match=r"variant of baseline `etr_nlp`: `2`.*Valid: 0\.8, 0\.8-mixed, 0\.9"):
        load_baselines(["etr_nlp@2"])


@pytest.mark.parametrize(
    ("name", "rule"),
    [("recon", "there is another recipe `recon`"), ("trial-3", "begin with `trial-`"), ("a,b", "letters")],
)
def test_a_recipe_needs_a_name_of_its_own(tmp_path: Path, name: str, rule: str) -> None:
    path = tmp_path / f"{name}.yaml"
    path.write_text("method: mtan\n", encoding="utf-8")
    with pytest.raises(ExperimentError, match=rule):
        load_baselines([str(path)])


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "own.yaml").write_text("method: mtan\n", encoding="utf-8")
    with pytest.raises(ExperimentError, match="there is another recipe `own`"):
        load_baselines([str(tmp_path / "a" / "own.yaml"), str(tmp_path / "b" / "own.yaml")])
