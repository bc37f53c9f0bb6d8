"""The parts of the documentation that are made of the code when the site is built.

`make docs` builds it. A page says `<!-- generated: NAME -->` where a part goes, and
`<!-- readme: SECTION -->` where a section of the README goes, which is written once.
"""
