"""A package of its own: some libraries install one of this name, which would go before it."""
