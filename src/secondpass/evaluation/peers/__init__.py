"""The engines to compare with, each behind the same three lines: load, score, say how."""
