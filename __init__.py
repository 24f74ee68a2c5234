"""tssr: next-item recommendation from what users did and what items look and read like."""

__version__ = "0.1.0"
