"""Where a snapshot comes from: readers of other programs' statistics. What they cannot trust they call missing."""
