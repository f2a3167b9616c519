"""What all dataset converters share: plans, running them, files, archives and options."""
