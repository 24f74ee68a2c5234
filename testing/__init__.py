"""What every model must hold, to be checked for one of one's own: `from tssr.testing import check_model`."""

from .contract import CHECKS, check_model

__all__ = ["CHECKS", "check_model"]
