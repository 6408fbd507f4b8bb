import pytest

from mtl_search.metrics.scores import bounds, headline_word, quality_bounds


@pytest.mark.parametrize(
    ("names", "word"),
    [
        (["left/accuracy", "right/accuracy"], "accuracy"),
        (["left/accuracy", "left/loss", "right/accuracy", "right/f_score"], "accuracy"),
        (["left/accuracy", "left/loss", "right/rmse", "right/accuracy"], "quality"),
        (["scene/miou", "scene/pixel_accuracy"], "quality"),
        (["rare/balanced_accuracy"], "quality"),
    ],
)
def test_the_headline_is_called_accuracy_where_every_tasks_is_one(names: list[str], word: str) -> None:
    assert headline_word(names) == word


@pytest.mark.parametrize(
    ("name", "ends"),
    [
        ("left/accuracy", (0.0, 1.0)),
        ("normals/within_11.25", (0.0, 1.0)),
        ("depth/abs_error", (0.0, None)),
        ("left/loss", (None, None)),
        ("place/r2", (None, 1.0)),
        ("speech/signal_to_noise", (None, None)),
    ],
)
def test_names_tell_what_a_score_can_be(name: str, ends: tuple[float | None, float | None]) -> None:
    assert bounds(name) == ends


def test_quality_is_bounded_below_where_all_headlines_are_shares() -> None:
    assert quality_bounds(["left/accuracy", "left/loss", "right/miou"]) == (0.0, 1.0)
    assert quality_bounds(["left/accuracy", "right/rmse"]) == (None, 1.0)
