"""The published weight files: where they lie, what they score, which config fits; getting them."""
