"""Files into parts: meshes, CAD, the built-in parts."""
