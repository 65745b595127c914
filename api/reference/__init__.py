"""The interactive reference of the REST API, `/docs`.

Promise: every file comes from this server, nothing of the page calls another one, and no inline
script runs. The page needs no key; the calls that are tried on it do.

Where do I go to…?
    change the page's addresses and headers     page.py
    change what Swagger UI shows                start.js
"""
