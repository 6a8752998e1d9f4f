"""An export task's life: the REST client, its rules, and the runner."""
