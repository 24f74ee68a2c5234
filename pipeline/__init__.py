"""The stages, one file each, and the readers of raw dumps."""
