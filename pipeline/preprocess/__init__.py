"""The preprocess stage: a raw dump in, canonical Parquet tables out."""
