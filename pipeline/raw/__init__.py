"""Readers of raw dumps, one file a data set."""
