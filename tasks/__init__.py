"""Verbs are Prefect tasks, one a module; nouns are the packages of the stages that do the work."""
