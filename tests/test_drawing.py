import re
from xml.etree import ElementTree

import pytest

from made_runs import made_experiment
from mtl_search.networks.geometry import geometry, shared_width, specific_width
from mtl_search.reporting.drawing_svg import svg_drawing
from mtl_search.reporting.drawing_text import text_drawing
from mtl_search.reporting.layer_table import layer_table
from mtl_search.spaces.architecture import Architecture, LayerChoice
from mtl_search.spaces.backbone import Backbone, Stage

SVG = "{http://www.w3.org/2000/svg}"
TWO = ["left", "right"]
EIGHT = [f"attribute_{number}" for number in range(8)]

MIXED_DEPTHS = Architecture(
    Backbone((Stage(10), Stage(20, 2, stride=2), Stage(40)), stem=8),
    (LayerChoice("paper", 0.3), LayerChoice("linear", 1.0), LayerChoice("conv", 0.5, 0), LayerChoice("linear", 0.0, 2)),
)
DEEP = Architecture(
    Backbone((Stage(32, 8), Stage(64, 8, stride=2)), kind="residual"),
    tuple(LayerChoice("random*3+average_pool+shift", (1.0, 0.75, 0.0)[number % 3], 2) for number in range(16)),
    routing="mixed",
)


def drawn(architecture: Architecture, tasks: list[str]) -> ElementTree.Element:
    return ElementTree.fromstring(svg_drawing(architecture, tasks))


def texts(element: ElementTree.Element, tag: str) -> list[str]:
    return [found.text or "" for found in element.iter(SVG + tag)]


def test_layers_have_these_channels() -> None:
    rows = [
        (row.stage, row.stride, row.width, row.shared, row.specific, row.carried_shared, row.carried)
        for row in layer_table(MIXED_DEPTHS)
    ]
    assert rows == [
        (0, 1, 10, 3, 7, 0, 0),
        (1, 2, 20, 20, 0, 0, 7),
        (1, 1, 20, 10, 0, 0, 7),
        (2, 1, 40, 0, 40, 0, 0),
    ]


def assert_table_equals_geometry(architecture: Architecture) -> None:
    blocks = geometry(architecture, 2, (1, 36, 36)).blocks
    for row, block in zip(layer_table(architecture), blocks, strict=True):
        choice = block.layers[-1].choice
        assert (row.shared, row.specific) == (shared_width(choice, row.width), specific_width(choice, row.width))
        assert row.shared + row.carried_shared == block.after.shared
        assert row.specific + row.carried == block.after.specific
        assert (row.stage, row.stride) == (block.stage, block.stride)


@pytest.mark.parametrize("architecture", [MIXED_DEPTHS, DEEP])
def test_table_equals_geometry(architecture: Architecture) -> None:
    assert_table_equals_geometry(architecture)


def test_table_equals_geometry_over_a_space_with_empty_branches_and_trunks() -> None:
    changes = ["space.shared_ratio=[1.0, 0.3, 0.01, 0.0]", "space.branch_depth=[0, 1, 3]", "backbone.stem=0"]
    space = made_experiment(changes).search_space
    for seed in range(200):
        assert_table_equals_geometry(space.sample(seed))


@pytest.mark.parametrize("architecture", [MIXED_DEPTHS, DEEP])
@pytest.mark.parametrize("tasks", [["one"], TWO, EIGHT, [f"a rather long name of a task {i}" for i in range(40)]])
def test_text_fits_a_terminal_and_has_a_line_per_layer(architecture: Architecture, tasks: list[str]) -> None:
    lines = text_drawing(architecture, tasks).splitlines()
    assert max(map(len, lines)) <= 80
    assert len([line for line in lines if re.match(r" +\d+  ", line)]) == len(architecture.layers)


def test_text_tells_what_is_made_and_what_is_carried_on() -> None:
    lines = text_drawing(MIXED_DEPTHS, TWO).splitlines()
    assert "    0  paper                30%     1      -        3+7  ██▒▒▒▒" in lines
    assert any("conv " in line and "10+(7)" in line for line in lines)
    assert "2 tasks: left, right" in lines


@pytest.mark.parametrize("architecture", [MIXED_DEPTHS, DEEP])
@pytest.mark.parametrize("tasks", [["one"], TWO, EIGHT])
def test_svg_names_every_layer_and_loads_nothing(architecture: Architecture, tasks: list[str]) -> None:
    root = drawn(architecture, tasks)
    unit = "block" if architecture.backbone.kind == "residual" else "layer"
    assert {f"{unit} {number}" for number in range(len(architecture.layers))} <= set(texts(root, "text"))
    assert not [key for element in root.iter() for key in element.attrib if key.endswith("href") or key == "src"]
    assert all(element.tag in {SVG + tag for tag in TAGS} for element in root.iter())


TAGS = ("svg", "title", "desc", "defs", "pattern", "g", "rect", "path", "text")


def test_svg_stays_inside_its_view_box() -> None:
    for architecture in (MIXED_DEPTHS, DEEP):
        root = drawn(architecture, TWO)
        width = float(root.attrib["viewBox"].split()[2])
        for box in root.iter(SVG + "rect"):
            assert float(box.attrib["x"]) >= 0
            assert float(box.attrib["x"]) + float(box.attrib["width"]) <= width


def test_heights_of_boxes_are_proportional_to_channels() -> None:
    heights = {}
    for group in drawn(MIXED_DEPTHS, TWO).iter(SVG + "g"):
        title, box = group.find(SVG + "title"), group.find(SVG + "rect")
        if title is not None and box is not None and title.text:
            heights[title.text] = float(box.attrib["height"])
    assert heights["20 channels shared by all tasks"] / heights["40 channels of left, branch depth 2"] == pytest.approx(
        0.5, abs=0.01
    )


def test_more_than_six_tasks_become_one_hatched_box() -> None:
    few, many = drawn(MIXED_DEPTHS, EIGHT[:6]), drawn(MIXED_DEPTHS, EIGHT)
    assert few.find(f".//{SVG}pattern") is None
    assert many.find(f".//{SVG}pattern") is not None
    assert "\N{MULTIPLICATION SIGN}8 heads" in texts(many, "text")


def test_svg_escapes_names_of_tasks() -> None:
    svg = svg_drawing(MIXED_DEPTHS, ["<script>alert(1)</script>", 'a&b"\x07'])
    assert "<script" not in svg
    ElementTree.fromstring(svg)


def test_svg_is_described_in_words() -> None:
    root = drawn(MIXED_DEPTHS, TWO)
    assert texts(root, "title")[0] == f"Architecture {MIXED_DEPTHS.id}"
    assert "Layer 0: paper, 3 shared channels, 7 for each task." in texts(root, "desc")[0]


def test_mixed_routing_draws_the_way_back_into_the_trunk() -> None:
    strict = Architecture(DEEP.backbone, DEEP.layers)
    assert len(list(drawn(DEEP, TWO).iter(SVG + "path"))) > len(list(drawn(strict, TWO).iter(SVG + "path")))
