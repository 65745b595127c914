"""The face engine: detect, align and embed, on this machine's cores.

Where do I go to…?
    change how faces are found             engine.py
    see whose fault a failure is           engine.py (judge_failure)
    see which engines a process keeps      cache.py
    see how faces travel and are stored    detected.py
    see how cores and memory are limited   limits.py
    see how a selfie's face is found       selfie.py
"""
