"""The names of other adapters over the bridge's own. Nothing of the others is imported."""
