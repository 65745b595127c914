"""Pictures: decoding within limits, rotation by EXIF, colours, and previews.

Where do I go to…?
    see which photos are refused, and why        decode.py
    see how hostile and damaged files are met    formats.py
    see how large and torn JPEGs are decoded     jpeg.py
    see how HEIC, TIFF and RAW files are read    heif.py, tiff.py, raw.py
    see what is read from EXIF                   exif.py
    see how colours become sRGB on white         colours.py
    see when and by which camera it was taken    taking.py
    see how a preview is made from an original   preview.py
"""
