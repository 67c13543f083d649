"""Simulated sites, requests and proxies under the very policies that run in the daemon."""
