"""Pictures: their values, and how matplotlib draws them as SVG."""
