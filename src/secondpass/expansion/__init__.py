"""Query expansion: further queries for the one that was asked, and one list of what all of them find."""

from secondpass.expansion.chat import ChatExpander
from secondpass.expansion.feedback import FeedbackExpander
from secondpass.expansion.given import GivenQueries
from secondpass.expansion.retriever import ExpandedRetriever

__all__ = ["ChatExpander", "ExpandedRetriever", "FeedbackExpander", "GivenQueries"]
