"""Results in one signed-off file: made of a ledger, read as one, and checked.

`making` writes the file, without what `privacy` knows to be private; `reading` is what the file is
and reads it as if it were a ledger, `statement` and `content` what must hold of it before;
`checks` and `row_checks` look for what is wrong with one, `rerun` makes cells of it again.
`digests` tells whether tables say the same.
"""
