"""Config files: reading them, changing them, finding their parts by resolved class."""
