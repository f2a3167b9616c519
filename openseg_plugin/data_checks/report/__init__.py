"""What the data checks show: text, an HTML page, thumbnails."""
