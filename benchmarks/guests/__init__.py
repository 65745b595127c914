"""A hundred guests who search at once, while a sync runs and S3 stands still."""
