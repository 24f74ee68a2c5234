"""The extract-features stage: content in, a feature store out."""
