"""How bright the surface is: irradiance, reflectance, grey values, and whether they are usable."""
