"""Readers of polygon files: COCO, LabelMe, YOLO segmentation.

Rules of the room: a reader takes decoded JSON or text and returns Sketches; it never raises for what is in a file. What
cannot be used is counted in the remarks under the name of the image or the file. Coordinates are checked here for their
shape only; whether they make a polygon is the business of `repair`.
"""
