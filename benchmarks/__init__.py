"""How fast the core is, beside others that do the same work; see README.md. Not shipped."""
