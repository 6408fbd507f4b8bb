import pytest

from mtl_search.metrics.scores import headline_word


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
