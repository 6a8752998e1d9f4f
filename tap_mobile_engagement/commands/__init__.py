"""Commands beside the tap itself."""
