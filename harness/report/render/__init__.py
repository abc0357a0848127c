"""Renderings of what `report.content` says. Only these modules make text of cells."""
