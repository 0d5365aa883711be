"""One file per group of verbs. A verb asks the platform and prints."""
