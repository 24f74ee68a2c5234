"""The version of tssr; here, so that no module must import the package itself, which hands out all others."""

__version__ = "0.2.0"
