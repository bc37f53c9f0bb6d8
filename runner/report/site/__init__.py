"""A static page of what a ledger holds: boards, every cell, and how each number was made.

`building` makes its files: `board_parts` and `cell_rows` say what is on it, `details` how each cell
was made, `page` turns it into HTML. `folder` writes them, `serving` shows them while a run goes on.
What it needs at view time, a library for tables included (`vendor/`), is part of it.
"""
