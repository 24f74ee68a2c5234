"""What every stage shares: errors, table schemas, settings, artifacts, progress."""
