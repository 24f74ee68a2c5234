"""The report: what a data set holds, what runs learned and how good they are, in one file to look at."""
