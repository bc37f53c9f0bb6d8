"""Maps in closed form between the fields, or labels, of a task; see `xmft.regression`."""
