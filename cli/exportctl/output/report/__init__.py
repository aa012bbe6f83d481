"""Where the time of recorded exports went: the numbers, the picture, and the page around it. Pure."""
