"""Tools of this project: set-up, rendering, and the demo."""
