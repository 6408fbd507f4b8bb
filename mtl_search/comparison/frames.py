"""The trainings of a comparison as a frame of pandas."""

from dataclasses import asdict

import pandas as pd

from mtl_search.comparison.results import Comparison


def outcomes_frame(comparison: Comparison) -> pd.DataFrame:
    """A row per training that ended, by entrant and seed: all that its row of ``baselines.csv`` holds.

    :param comparison: The comparison whose trainings these are.
    """
    rows = [{**asdict(one), "state": one.state.value, **one.scores} for one in comparison.outcomes]
    columns = [name for name in dict.fromkeys(name for row in rows for name in row) if name != "scores"]
    frame = pd.DataFrame(rows, columns=columns or ["entrant", "seed"])
    return frame.set_index(["entrant", "seed"])
