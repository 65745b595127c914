"""The face engine: it detects, aligns and embeds faces on this machine's cores.

Where do I go to…?
    change how faces are found             engine.py
    see what a failure of a model means    engine.py (judge_failure)
    see which engines a process keeps      cache.py
    see how faces are packed for storage   detected.py
    see how cores and memory are limited   limits.py
    see how a selfie's face is found       selfie.py
    see how several selfies are averaged   selfies.py
"""
