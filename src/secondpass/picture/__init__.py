"""A picture of an index: its passages in two dimensions, on one page that needs no network."""

from secondpass.picture.page import Mark, Picture, Point, page
from secondpass.picture.projection import PROJECTIONS, project

__all__ = ["PROJECTIONS", "Mark", "Picture", "Point", "page", "project"]
