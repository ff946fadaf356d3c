"""The stages of a run as plain callables that know no executor."""
