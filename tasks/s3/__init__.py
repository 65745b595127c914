"""S3: listing, reading, writing and signed links. boto3's errors become the product's own here.

Where do I go to…?
    see how S3 is listed and read      bucket.py
    see how S3 is written to           objects.py
    see what boto3's errors become     errors.py
    see how guests' links are signed   links.py
"""
