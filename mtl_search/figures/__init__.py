"""The figures: for each one function for its data, one for its drawing. The only home of plotly."""

from mtl_search.figures._style import figure_html as figure_html
from mtl_search.figures._style import short_number as short_number
from mtl_search.figures.pareto import is_percent as is_percent
from mtl_search.figures.pareto import objective_label as objective_label
from mtl_search.figures.pareto import pareto_data as pareto_data
from mtl_search.figures.pareto import pareto_figure as pareto_figure
from mtl_search.figures.pareto import run_reference as run_reference
