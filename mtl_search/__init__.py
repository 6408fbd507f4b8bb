"""Multi-task architecture search: how much should the tasks share, layer by layer?

Everything below is loaded when it is first used, so that ``import mtl_search`` is quick.
"""

import importlib
import sys

if sys.platform == "win32":
    raise ImportError("mtl_search is for Linux and macOS, and does not run on Windows; there it runs in WSL.")

TYPE_CHECKING = False  # type checkers take it for true, and `typing` takes longer to load than all of this
if TYPE_CHECKING:
    from mtl_search.comparison.compare import compare as compare
    from mtl_search.comparison.train import train as train
    from mtl_search.datasets import Split as Split
    from mtl_search.datasets import load_dataset as load_dataset
    from mtl_search.datasets import make_dataset as make_dataset
    from mtl_search.datasets._memory import dataset_from as dataset_from
    from mtl_search.evaluation import evaluate as evaluate
    from mtl_search.exporting.answers import Predictions as Predictions
    from mtl_search.exporting.export import export as export
    from mtl_search.exporting.model import load_model as load_model
    from mtl_search.internal.own_code import dataset_function as dataset_function
    from mtl_search.internal.own_code import own_code_allowed as own_code_allowed
    from mtl_search.networks.network import build_model as build_model
    from mtl_search.reporting.search_page import write_report as write_report
    from mtl_search.reporting.show import show as show
    from mtl_search.reporting.watching import watch as watch
    from mtl_search.runs.folder import load_run as load_run
    from mtl_search.runs.status import status as status
    from mtl_search.searching.callbacks import Callback as Callback
    from mtl_search.searching.check import check as check
    from mtl_search.searching.run import resume as resume
    from mtl_search.searching.run import search as search
    from mtl_search.searching.starting import first_experiment as first_experiment
    from mtl_search.searching.tensorboard import TensorBoard as TensorBoard
    from mtl_search.spaces.architecture import Architecture as Architecture
    from mtl_search.spaces.architecture import LayerChoice as LayerChoice
    from mtl_search.spaces.backbone import Backbone as Backbone
    from mtl_search.spaces.backbone import Stage as Stage
    from mtl_search.spaces.experiment import load_experiment as load_experiment
    from mtl_search.spaces.experiment import load_space as load_space
    from mtl_search.spaces.layer_space import LayerSpace as LayerSpace
    from mtl_search.spaces.settings import Training as Training
    from mtl_search.spaces.space import SearchSpace as SearchSpace
    from mtl_search.tasks import make_task as make_task

__version__ = "0.1.0"

_HOMES = {
    "Architecture": "spaces.architecture",
    "Backbone": "spaces.architecture",
    "LayerChoice": "spaces.architecture",
    "Stage": "spaces.architecture",
    "compare": "comparison.compare",
    "train": "comparison.train",
    "show": "reporting.show",
    "watch": "reporting.watching",
    "status": "runs.status",
    "check": "searching.check",
    "Callback": "searching.callbacks",
    "TensorBoard": "searching.tensorboard",
    "Split": "datasets",
    "load_dataset": "datasets",
    "make_dataset": "datasets",
    "dataset_from": "datasets._memory",
    "evaluate": "evaluation",
    "Training": "spaces.settings",
    "load_experiment": "spaces.experiment",
    "load_space": "spaces.experiment",
    "export": "exporting.export",
    "load_model": "exporting.model",
    "Predictions": "exporting.answers",
    "build_model": "networks.network",
    "dataset_function": "internal.own_code",
    "own_code_allowed": "internal.own_code",
    "write_report": "reporting.search_page",
    "load_run": "runs.folder",
    "resume": "searching.run",
    "search": "searching.run",
    "first_experiment": "searching.starting",
    "LayerSpace": "spaces.layer_space",
    "SearchSpace": "spaces.space",
    "make_task": "tasks",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
