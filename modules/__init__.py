"""imgsieve: finds which pictures are the same, keeps the best copy of each and proves every decision."""

__version__ = "0.1.0"
