"""The part as a mesh: its faces, what is wrong with them, and the surface cut into elements."""
