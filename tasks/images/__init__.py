"""Pictures: decoded within limits, turned upright, made small.

Where do I go to…?
    see which photos are refused, and why      decode.py
    see how hostile and damaged files are met  formats.py
    see what is read of EXIF                   exif.py
    see how a preview is made of an original   preview.py
"""
