"""A package, so that it is found before the one of this name that baycomp installs by mistake."""
