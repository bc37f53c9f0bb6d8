"""Writers of miniatures, one module a task: the smallest valid files in the official layout."""
