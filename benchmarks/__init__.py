"""Side-by-side measurements of bridge and its peers; nothing imports this package but its own files."""
