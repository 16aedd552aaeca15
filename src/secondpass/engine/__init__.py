"""(query, texts) -> scores. Knows no passage, no HTTP and no asyncio."""

from secondpass.engine.compute import Compute
from secondpass.engine.cross_encoder import CrossEncoder, Limits
from secondpass.engine.locate import bundled_models
from secondpass.engine.spec import ModelSpec

__all__ = ["Compute", "CrossEncoder", "Limits", "ModelSpec", "bundled_models"]
