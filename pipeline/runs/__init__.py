"""What happens to one run: planned, trained, evaluated, asked for recommendations."""
