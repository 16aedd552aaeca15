"""`python -m secondpass`: the command line, also where scripts are not on the path."""

from secondpass.cli import main

if __name__ == "__main__":
    main()
