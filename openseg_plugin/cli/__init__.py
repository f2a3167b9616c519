"""The command line: one frame, one file per verb. Knows every part; no part knows it."""
