"""SHOW: terminal, pictures and pages. Nothing is measured here."""
