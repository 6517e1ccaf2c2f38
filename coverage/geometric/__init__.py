"""What views see of a surface, and how much of it they cover."""
