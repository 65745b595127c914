"""Model packs (a face detector and a recogniser): found by name, checked, installed and loaded.

Where do I go to…?
    add a model pack, or see which a name means   registry.py
    see a pack's thresholds and their source      figures.py
    see how a pack's folder is read               folder.py
    see how a pack arrives on a machine           install.py
    see how opencv_zoo is built                   opencv_zoo.py
    see how another recogniser is made a pack     assembly.py
    see how models are loaded, on which backend   loading.py, openvino.py
"""
