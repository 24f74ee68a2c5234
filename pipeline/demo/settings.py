"""What one may choose about the generated shop."""

from __future__ import annotations

from pydantic import Field

from ...core.settings import Settings


class DemoSettings(Settings):
    """The size of the generated shop and its seed."""

    seed: int = Field(1, ge=0, description="Seed of the generated shop and of training.")
    customers: int = Field(3000, ge=10, description="Customers of the generated shop.")
    articles: int = Field(1000, ge=50, description="Articles of the generated shop.")
