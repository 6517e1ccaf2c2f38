"""Making images: defects, textures, renderer, data sets."""
