"""Spillover: requests beyond what a site can serve well go to its peers, through the service mesh."""
