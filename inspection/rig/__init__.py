"""The rig: camera, light, material, motion, fixture, what views must offer."""
