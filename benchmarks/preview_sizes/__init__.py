"""What each size of previews finds and costs (`make preview-study`)."""
