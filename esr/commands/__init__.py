"""One file per subcommand; each has `main(arguments) -> exit code`."""
