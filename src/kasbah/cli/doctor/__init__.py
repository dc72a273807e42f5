"""`kasbah doctor`: takes a person's own way to a cluster, hop by hop, and names the first that fails."""
