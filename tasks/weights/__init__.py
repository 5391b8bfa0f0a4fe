"""The files of weights that networks need: a table, a folder, and how they are fetched."""
