"""Event streams by the thousand: how many are held, at what cost, how fast events get to all of them."""
