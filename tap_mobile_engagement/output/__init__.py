"""Batches to Singer messages: whole lines, BATCH files, or record by record through the SDK."""
