"""Images and tables for people; pure NumPy and OpenCV."""
