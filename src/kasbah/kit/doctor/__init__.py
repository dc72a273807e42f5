"""Looks at a path hop by hop and names the first that fails; knows networks, and no domain of ours."""
