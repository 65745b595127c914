"""The faces found, and the cost, for each preview size (`make preview-study`)."""
