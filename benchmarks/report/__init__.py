"""What becomes of the results: a table to read, JSON to keep, a chart to look at. Measures nothing."""
