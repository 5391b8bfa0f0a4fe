"""The study of `docs/study.md`, part by part; `bench_study.py` runs it and fills in the page."""
