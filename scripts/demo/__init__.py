"""The demo: the whole pipeline on this machine, and what it must prove."""
