"""The export stage: a trained model as files that need no tssr, and data sets in other systems' formats."""
