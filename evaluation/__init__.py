"""Exact ranking, metrics, tables and pictures of results."""
