"""The figures: for each one function for its data, one for its drawing. The only home of plotly."""

from mtl_search.reporting.figures._intervals import interval_data as interval_data
from mtl_search.reporting.figures._style import figure_html as figure_html
from mtl_search.reporting.figures._style import plotly_js as plotly_js
from mtl_search.reporting.figures._style import short_number as short_number
from mtl_search.reporting.figures.diagnostics import branch_points_data as branch_points_data
from mtl_search.reporting.figures.diagnostics import conflicts_figure as conflicts_figure
from mtl_search.reporting.figures.diagnostics import cosines_data as cosines_data
from mtl_search.reporting.figures.diagnostics import cosines_figure as cosines_figure
from mtl_search.reporting.figures.diagnostics import paths_figure as paths_figure
from mtl_search.reporting.figures.diagnostics import shares_data as shares_data
from mtl_search.reporting.figures.diagnostics import shares_figure as shares_figure
from mtl_search.reporting.figures.differences import differences_data as differences_data
from mtl_search.reporting.figures.differences import differences_figure as differences_figure
from mtl_search.reporting.figures.pareto import is_percent as is_percent
from mtl_search.reporting.figures.pareto import objective_label as objective_label
from mtl_search.reporting.figures.pareto import pareto_data as pareto_data
from mtl_search.reporting.figures.pareto import pareto_figure as pareto_figure
from mtl_search.reporting.figures.pareto import run_reference as run_reference
from mtl_search.reporting.figures.search import hypervolume_data as hypervolume_data
from mtl_search.reporting.figures.search import hypervolume_figure as hypervolume_figure
from mtl_search.reporting.figures.search import importance_data as importance_data
from mtl_search.reporting.figures.search import importance_figure as importance_figure
from mtl_search.reporting.figures.standings import standings_data as standings_data
from mtl_search.reporting.figures.standings import standings_figure as standings_figure
