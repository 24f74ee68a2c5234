"""Reading content, encoders, the feature store."""
