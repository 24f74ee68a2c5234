"""The generated H&M-layout dump and the tour through the pipeline."""
