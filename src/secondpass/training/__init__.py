"""Training data: hard negatives for pairs of a query and a right text."""

from secondpass.training.lists import TrainingList, read_lists, write_lists

__all__ = ["TrainingList", "read_lists", "write_lists"]
