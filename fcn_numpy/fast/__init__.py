"""The convolutions faster: bands of columns, collecting, Winograd's algorithm, threads."""
