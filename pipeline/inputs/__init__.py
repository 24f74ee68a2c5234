"""What a training along with its encoders reads, extracted before it begins."""
