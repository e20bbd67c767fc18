"""A Django project with Channels, as its users write it: consumers, and views below. Knows nothing of bridge."""
