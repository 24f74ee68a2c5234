"""A test of the contract of models, for models of your own: `from tssr.testing import check_model`."""

from .contract import CHECKS, check_model

__all__ = ["CHECKS", "check_model"]
