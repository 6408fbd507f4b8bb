"""Numbers that describe results: Delta_m, intervals, Pareto fronts."""

from mtl_search.metrics.relative_gain import delta_m as delta_m
