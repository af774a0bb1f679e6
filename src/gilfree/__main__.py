"""``python -m gilfree`` is ``gilfree``."""

from gilfree.cli import main

if __name__ == "__main__":
    main()
