"""From a run directory to figures: tidy frames, summary.json and one self-contained report.

``python -m analysis results/<experiment>/<run-id>`` reads what the experiment left behind and writes beside it.
The shapes of both are in docs/results-format.md.
"""
