"""``python -m agent``: how child processes and services start the command without searching the PATH for it."""

from agent.cli.main import main

if __name__ == "__main__":
    main()
