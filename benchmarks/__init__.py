"""Accuracy, throughput and scale: one command each, printing a table."""
