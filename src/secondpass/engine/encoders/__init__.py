"""Encoders by name: what turns texts into vectors, whoever computes them."""

from secondpass.engine.encoders.endpoint import Endpoint, EndpointEncoder, Usage
from secondpass.engine.encoders.static import StaticEncoder
from secondpass.engine.encoders.table import load_encoder

__all__ = ["Endpoint", "EndpointEncoder", "StaticEncoder", "Usage", "load_encoder"]
