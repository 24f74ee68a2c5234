"""The report: one HTML file that shows a data set, the training of runs, and their results."""
