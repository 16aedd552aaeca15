"""(query, texts) -> scores, and texts -> vectors. Knows no passage, no HTTP and no asyncio."""

from secondpass.engine.bi_encoder import BiEncoder, EncodedTexts
from secondpass.engine.compute import Compute
from secondpass.engine.cross_encoder import CrossEncoder, Limits
from secondpass.engine.encoder_spec import EncoderSpec, Encoding
from secondpass.engine.encoders import Endpoint, StaticEncoder, load_encoder
from secondpass.engine.locate import bundled_encoders, bundled_models
from secondpass.engine.spec import ModelSpec
from secondpass.engine.tokenized import TokenizedText

__all__ = [
    "BiEncoder",
    "Compute",
    "CrossEncoder",
    "EncodedTexts",
    "EncoderSpec",
    "Encoding",
    "Endpoint",
    "Limits",
    "ModelSpec",
    "StaticEncoder",
    "TokenizedText",
    "bundled_encoders",
    "bundled_models",
    "load_encoder",
]
