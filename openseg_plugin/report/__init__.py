"""Images and tables for people; pure NumPy and OpenCV."""

MAX_IMAGES = 500
"""Images that a page draws by default."""
MAX_BYTES = 60 * 10**6
"""Size of a folder with a page by default."""
SMOOTHING = 0.8
"""Weight of what came before in the curves of losses, by default."""
PAGE = 'index.html'
CURVES = 'curves.png'
