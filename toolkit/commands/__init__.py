"""The commands of the command line: plain typed functions, thin over those that do the work."""
