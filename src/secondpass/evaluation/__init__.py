"""How fast, and how good? Measured on the user's own machine, beside the other engines."""

from secondpass.evaluation.report import report
from secondpass.evaluation.speed import Engine, Measured, Result, Setup, measure
from secondpass.evaluation.workload import Workload, given_workload, make_workload

__all__ = [
    "Engine",
    "Measured",
    "Result",
    "Setup",
    "Workload",
    "given_workload",
    "make_workload",
    "measure",
    "report",
]
