"""Pareto fronts: :mod:`mtl_search.metrics.pareto` under the name that users know."""

from mtl_search.metrics.pareto import bend as bend
from mtl_search.metrics.pareto import front_mask as front_mask
from mtl_search.metrics.pareto import hypervolume as hypervolume
from mtl_search.metrics.pareto import knee as knee
