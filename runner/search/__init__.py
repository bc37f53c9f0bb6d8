"""Search under equal budgets: each method of a grid gets the same number of trials on each task.

`space` says what a grid may ask for, `proposals` draws the configurations of the trials, `halving`
says which trials go on, `study` puts them together to the cells that can run by now. All of it is
a function of the grid and of what the ledger holds: a search that was killed goes on from there,
and ends with the same choice.
"""
