"""How good a copy is, and what its colours are."""
