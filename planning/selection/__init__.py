"""The fewest views: the cover problem, its solvers, its bounds."""
