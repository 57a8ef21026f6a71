"""The one place that knows the order of the stages: what a request is, and how each engine answers it."""

from .run import reconstruct
from .settings import Settings, cache_key

__all__ = ["Settings", "cache_key", "reconstruct"]
