"""The configuration: its schema, how it is composed, the networks' cards, its digest."""
