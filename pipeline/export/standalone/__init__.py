"""Programs that rank from exported files alone: `tssr export` copies one beside the files as rank.py."""
