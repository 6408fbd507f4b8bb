"""Numbers as the pages write them, and as their tables and downloads hold them."""

import pytest

from mtl_search.reporting.numbers import exact, signed, written
from mtl_search.reporting.text import score_text, score_title


@pytest.mark.parametrize(
    ("value", "text"),
    [(-0.0000523, "−5.230e−05"), (0.0914, "0.09140"), (1638.2, "1638"), (-1, "−1.000"), (0, "0.000")],
)
def test_a_number_for_reading_has_four_digits_and_minus_signs(value: float, text: str) -> None:
    assert written(value) == text


def test_a_difference_has_its_sign_and_no_minus_zero() -> None:
    assert [signed(value) for value in (1.204, -0.3, -0.0001)] == ["+1.20", "−0.30", "+0.00"]


def test_a_score_is_written_as_its_kind() -> None:
    assert score_text(-0.5, "a/accuracy") == "−50.0\N{NO-BREAK SPACE}%"
    assert score_text(0.5, "a/rmse") == "0.5000"
    assert score_text(None, "a/rmse") == "–"
    assert [score_title(name) for name in ("left/accuracy", "a/mean_angle")] == ["left accuracy in %", "a mean angle"]


def test_a_cell_holds_plain_numbers() -> None:
    assert exact([0.698, -0.1, None], 100) == "[69.8,-10,null]"
    assert exact([1 / 3, 12, "trial 1"]) == '[0.333333333,12,"trial 1"]'
