"""Python functions as jobs: what travels, how it is started, and what comes back."""
