"""The edge application of the lab: thumbnails of the images that it is sent.

A small HTTP service that does real CPU work, one request after the other:

- ``POST /thumbnail?width=128`` with a JPEG, PNG or WebP body answers with a JPEG of that width.
- ``GET /healthz`` answers while the process lives, ``GET /readyz`` once the first thumbnail has been made at start-up.

Requests wait in one queue, first come, first served, and ``WORKERS`` threads work it off. A request whose client has
gone is not worked on. The answer says what the request cost: ``x-served-by`` (the site), ``x-processing-ms`` (arrival
at the application until the answer is ready), ``x-queue-ms`` (of that: waiting), ``x-service-ms`` (of that: being
worked on) and ``x-cpu-ms`` (processor time of the work). The service knows nothing of the mesh around it.

Started by ``python -m workload``; settings come from the environment, see :mod:`workload.settings`.
"""
