"""How jobs are shared out over machines."""

import pytest

from mtl_search.execution.engine import room
from mtl_search.spaces.experiment import load_experiment


@pytest.mark.parametrize(
    ("asked", "resources", "jobs"),
    [
        (["search.cpus=1"], {"CPU": 8.0}, 8),
        (["search.cpus=3"], {"CPU": 8.0}, 2),
        (["search.cpus=16"], {"CPU": 8.0}, 1),
        (["search.cpus=1", "search.gpus=0.25"], {"CPU": 64.0, "GPU": 2.0}, 8),
        (["search.cpus=4", "search.gpus=0.25"], {"CPU": 16.0, "GPU": 2.0}, 4),
        (["search.cpus=1", "search.gpus=2"], {"CPU": 64.0, "GPU": 4.0}, 2),
    ],
)
def test_as_many_jobs_as_processors_and_gpus_have_room_for(
    asked: list[str], resources: dict[str, float], jobs: int
) -> None:
    assert room(load_experiment("quickstart", asked).search, resources) == jobs
