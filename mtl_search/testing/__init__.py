"""The contracts of what can be added, for code inside and outside of the package: no pytest is needed.

Each function checks one thing, rule by rule, and raises ``AssertionError`` at the first rule that is broken: one
sentence that says the rule, with what input, and what was found.
"""

from mtl_search.testing.balancings import check_balancing as check_balancing
from mtl_search.testing.datasets import check_dataset as check_dataset
from mtl_search.testing.methods import check_method as check_method
from mtl_search.testing.primitives import check_bank as check_bank
from mtl_search.testing.primitives import check_primitive as check_primitive
from mtl_search.testing.tasks import check_task as check_task
