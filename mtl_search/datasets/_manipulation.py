"""Meta-World's manipulation tasks: experts that show them, and a simulation in which networks do them.

The only module that loads ``metaworld`` (McLean et al., Meta-World+, arXiv 2505.11289), and only when it is used.
"""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtl_search.datasets import Predict, Simulation
from mtl_search.errors import DatasetError
from mtl_search.tasks import Regression

MT10 = (
    "reach",
    "push",
    "pick-place",
    "door-open",
    "drawer-open",
    "drawer-close",
    "button-press-topdown",
    "peg-insert-side",
    "window-open",
    "window-close",
)
"""The tasks of the benchmark, in its order."""
OBSERVED = 39
"""Numbers that are observed: hand, gripper and up to two objects, now and a step before; the goal."""
MOVES = ("x", "y", "z", "gripper")
"""Numbers of an action, each in [-1, 1]: where the hand goes, and how hard the gripper closes."""
HORIZON = 500
"""Steps after which the benchmark ends an episode."""
PURPOSES = ("train", "val", "test", "simulation")
"""What episodes are for. Each has goals of its own."""
SUCCESS = "success_rate"

Observed = NDArray[np.float32]
Actions = NDArray[np.float32]


@dataclass(frozen=True)
class Demonstration:
    """An episode in which an expert succeeds, up to the step in which it does.

    :param purpose: What it is for, of :data:`PURPOSES`.
    :param number: Which of the demonstrations of a task it is, from 0.
    :param observed: What is observed at each step, ``[steps, 39]`` in float32.
    :param actions: ``[steps, 4]``, float32, in [-1, 1].
    """

    purpose: str
    number: int
    observed: Observed
    actions: Actions


def check_installed() -> str:
    """The version of ``metaworld``.

    :raises DatasetError: If it is not installed.
    """
    try:
        import metaworld.env_dict  # noqa: F401
    except ImportError as error:
        raise DatasetError(
            "dataset `mt10` is made by the simulator of Meta-World, which cannot be loaded "
            f"({error}): pip install -c constraints.txt -e '.[metaworld]'"
        ) from error
    return version("metaworld")


class Scene:
    """The simulator of one task.

    :param name: Name of a task of :data:`MT10`.
    """

    def __init__(self, name: str) -> None:
        from metaworld.env_dict import ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE

        self.environment = ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE[f"{name}-v3-goal-observable"](seed=0)
        self.environment.seeded_rand_vec = True  # goals and objects are drawn from its own generator,
        self.environment._freeze_rand_vec = False  # in every episode

    def begin(self, seed: int) -> NDArray[np.float64]:
        """Begin an episode, whose objects and goal the seed decides; what is observed, ``[39]``."""
        self.environment.seed(seed)
        observed, _ = self.environment.reset()
        return np.asarray(observed)

    def step(self, action: NDArray[np.float32]) -> tuple[NDArray[np.float64], bool]:
        """What is observed after an action, ``[39]``, and whether the task is done."""
        observed, _, _, _, told = self.environment.step(action)
        return np.asarray(observed), bool(told["success"])


def episode_seed(seed: int, purpose: str, task: str, number: int) -> int:
    """The seed of an episode, unrelated to all others; how many there are does not change it."""
    numbers = [seed, PURPOSES.index(purpose), MT10.index(task), number]
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def demonstrations(task: str, counts: Mapping[str, int], seed: int) -> Iterator[Demonstration]:
    """Episodes of a task's scripted expert, without those few in which it fails.

    :param counts: What for -> how many.
    """
    from metaworld.policies import ENV_POLICY_MAP

    scene, expert = Scene(task), ENV_POLICY_MAP[f"{task}-v3"]()
    for purpose, count in counts.items():
        for number in range(count):
            found = _demonstration(scene, expert, episode_seed(seed, purpose, task, number))
            if found is not None:
                yield Demonstration(purpose, number, *found)


def _demonstration(scene: Scene, expert: Any, seed: int) -> tuple[Observed, Actions] | None:
    """What an expert sees and does in an episode; ``None`` if it fails."""
    observed, seen, actions = scene.begin(seed), [], []
    for _ in range(HORIZON):
        with warnings.catch_warnings():  # experts say that they ask for more than 1, which is cut off here
            warnings.simplefilter("ignore")
            action = np.clip(expert.get_action(observed), -1, 1).astype(np.float32)
        seen.append(observed.astype(np.float32))
        actions.append(action)
        observed, done = scene.step(action)
        if done:
            return np.stack(seen), np.stack(actions)
    return None


@dataclass(frozen=True)
class Manipulation(Simulation):
    """A network does all tasks, each in some episodes with goals that no demonstration has.

    Measured is ``<task>/success_rate``, the share of episodes in which the task is done at some step.

    :param tasks: Tasks of the network, with the scale of their outputs; ``names`` are those of :data:`MOVES` that the
        network decides.
    :param given: Task -> the other numbers of its actions, by name.
    :param episodes: Episodes that each task is tried in.
    :param steps: Most steps of an episode.
    :param seed: Seed of the places of objects and goals.
    """

    tasks: tuple[Regression, ...]
    given: Mapping[str, Mapping[str, float]]
    episodes: int
    steps: int
    seed: int

    @property
    def score_names(self) -> list[str]:
        return [f"{task.name}/{SUCCESS}" for task in self.tasks]

    def run(self, predict: Predict) -> dict[str, float]:
        check_installed()
        scenes = {task.name: Scene(task.name) for task in self.tasks}
        done = dict.fromkeys(scenes, 0)
        for number in range(self.episodes):
            for name in self._succeeded(scenes, number, predict):
                done[name] += 1
        return {f"{name}/{SUCCESS}": count / self.episodes for name, count in done.items()}

    def _succeeded(self, scenes: Mapping[str, Scene], number: int, predict: Predict) -> list[str]:
        """The tasks that are done in an episode of each, all of them step by step side by side."""
        seeds = {name: episode_seed(self.seed, PURPOSES[-1], name, number) for name in scenes}
        seen = {name: scene.begin(seeds[name]) for name, scene in scenes.items()}
        succeeded = []
        for _ in range(self.steps):
            names = list(seen)
            outputs = predict(np.stack([seen[name] for name in names]).astype(np.float32))
            for row, name in enumerate(names):
                seen[name], done = scenes[name].step(self._action(name, outputs[name][row]))
                if done:
                    succeeded.append(name)
                    del seen[name]
            if not seen:
                break
        return succeeded

    def _action(self, name: str, output: NDArray[np.float32]) -> NDArray[np.float32]:
        """The action ``[4]`` that a network's outputs for a task say."""
        task = next(one for one in self.tasks if one.name == name)
        decided = dict(zip(task.names, output * task.deviation + task.mean, strict=True))
        action = {**self.given[name], **decided}
        return np.clip([action[move] for move in MOVES], -1, 1).astype(np.float32)
