"""Tables of trained architectures: every architecture of a space, with several seeds, after every epoch.

To read one takes neither torch nor ray:

>>> from mtl_search.tables import load_table, table_names  # doctest: +SKIP
>>> table = load_table("yeast")  # doctest: +SKIP
>>> table.query(table.architectures[0]).quality  # doctest: +SKIP
"""

from mtl_search.tables.regret import Regret, recommended, regret
from mtl_search.tables.simulation import simulate
from mtl_search.tables.table import Table, load_table, table_names
from mtl_search.tables.trainings import MEASURED, Record, TaskFacts
from mtl_search.tables.trajectory import Observation, Trajectory

__all__ = [
    "MEASURED",
    "Observation",
    "Record",
    "Regret",
    "Table",
    "TaskFacts",
    "Trajectory",
    "load_table",
    "recommended",
    "regret",
    "simulate",
    "table_names",
]
