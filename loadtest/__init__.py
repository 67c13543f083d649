"""The load generator: requests at times that were drawn beforehand, whatever the answers do (open loop).

A closed loop, where a user waits for an answer before the next request, lowers the load when answers are slow and so
hides overload. Here every request has its time from the start; one greenlet sends it then and waits for its answer.

- `plan` declares load.json; `schedule` draws the arrival times and shares them out; `targets` refuses every address
  outside the lab; `samples` is the result, one row a request. These four know nothing of Locust.
- `coordinator` is the master's side of a run, `generator` the workers'; `locustfile` joins them to Locust.

By hand, on one machine: ``locust -f loadtest/locustfile.py --headless --load-config load.json --samples samples.csv``.
Distributed: the same with ``--master --expect-workers N``, and N times ``--worker --master-host HOST``.
"""
