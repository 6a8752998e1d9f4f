"""What is documented of the service, its API and its export files, as types to check with."""
