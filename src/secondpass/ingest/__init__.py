"""From files to documents to passages; knows no model."""

from __future__ import annotations

from secondpass.ingest.load import load
from secondpass.ingest.outcome import Failure, Skip
from secondpass.ingest.split import Splitting, split
from secondpass.ingest.unwrap import unwrap

__all__ = ["Failure", "Skip", "Splitting", "load", "split", "unwrap"]
