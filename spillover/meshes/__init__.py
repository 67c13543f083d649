"""What a decision becomes: one file a mesh, each a set of pure manifest transforms."""
