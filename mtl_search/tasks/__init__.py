"""Tasks: what is predicted, how it is scored. A kind is one file here, registered under its name.

A kind of task says its loss, its metrics and their directions, what its head has to put out, what of the training data
it has to know, and which targets are missing. A kind that also says how several of its tasks are computed at once makes
a step of forty tasks as many operations as one of two; those whose loss is the mean over targets all do.
"""

from typing import Any

from mtl_search.internal.options import build
from mtl_search.internal.registry import TASKS
from mtl_search.tasks._elementwise import Elementwise as Elementwise
from mtl_search.tasks._groups import Targets as Targets
from mtl_search.tasks._groups import TaskGroups as TaskGroups
from mtl_search.tasks._task import Task as Task
from mtl_search.tasks._task import class_counts as class_counts
from mtl_search.tasks.binary import Binary as Binary
from mtl_search.tasks.classification import Classification as Classification
from mtl_search.tasks.depth import Depth as Depth
from mtl_search.tasks.edges import Edges as Edges
from mtl_search.tasks.multi_label import MultiLabel as MultiLabel
from mtl_search.tasks.normals import Normals as Normals
from mtl_search.tasks.regression import Regression as Regression
from mtl_search.tasks.saliency import Saliency as Saliency
from mtl_search.tasks.segmentation import Segmentation as Segmentation


def make_task(kind: str, name: str, **options: Any) -> Task:
    """A task by the name of its kind.

    :param kind: A registered one, or ``my_package.module:Name``.
    :param name: Name of the task.
    :param options: Options of the kind of task.
    :raises UnknownNameError: If there is no such kind.
    :raises UserError: If an option is unknown or breaks a rule.
    """
    found = TASKS.get(kind)
    made: Task = build(found, {"name": name, **options}, f"tasks.{name}", kind)
    return made
