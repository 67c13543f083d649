"""The collector of a site: reads every gateway pod and serves one counter of what entered there."""
