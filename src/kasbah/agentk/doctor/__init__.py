"""`agentk doctor`: takes agentk's own way to kas and to the API server, hop by hop, and names the first that fails."""
