"""What a browser may do on a gallery page: nothing inline, nothing from elsewhere but photos."""

from urllib.parse import urlsplit


def build_page_headers(photo_link: str) -> dict[str, str]:
    """Headers of a page whose pictures come from where `photo_link` points."""
    return {
        "Content-Security-Policy": build_policy(read_origin(photo_link)),
        "Referrer-Policy": "no-referrer",
        "X-Robots-Tag": "noindex, nofollow",
        "X-Content-Type-Options": "nosniff",
        # The links in it die soon: a page from a cache would show broken pictures.
        "Cache-Control": "no-store",
    }


def build_policy(photo_origin: str) -> str:
    """The Content-Security-Policy; blob: is the guest's own selfie, drawn to choose a face."""
    rules = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": f"'self' blob: data: {photo_origin}".rstrip(),
        "connect-src": "'self'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def read_origin(link: str) -> str:
    """Scheme, host and port of a link; empty where it has none."""
    parts = urlsplit(link)
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme and parts.netloc else ""
