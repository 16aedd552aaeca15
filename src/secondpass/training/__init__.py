"""Training data: hard negatives for pairs of a query and a right text."""

from secondpass.training.lists import TrainingList, read_lists, write_lists
from secondpass.training.mining import MiningReport, mine
from secondpass.training.pairs import Pairs, Question, read_pairs
from secondpass.training.selection import Mining

__all__ = [
    "Mining",
    "MiningReport",
    "Pairs",
    "Question",
    "TrainingList",
    "mine",
    "read_lists",
    "read_pairs",
    "write_lists",
]
