"""SHOW: terminal, pictures, page and files. Nothing is measured here."""
