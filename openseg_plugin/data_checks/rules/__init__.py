"""One rule per file: what it looks for, how sure it is, and the fix it offers."""
