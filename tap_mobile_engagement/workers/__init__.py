"""Blocks decoded in processes of their own, their records put back in order."""
