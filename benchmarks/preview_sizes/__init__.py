"""The faces found and the cost at each size of preview (`make preview-study`)."""
