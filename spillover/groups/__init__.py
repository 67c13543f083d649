"""The custom resource SpilloverGroup: what it says becomes controllers, and what they see becomes its status."""
