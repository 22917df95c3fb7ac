"""Clusters on Amazon EMR: what deploys, checks, feeds and removes them. No Spark here."""
