"""Applications as users write them, one a framework."""
