"""The parts that all commands share, a photographer's too: none of the server's packages is needed.

They also work on Windows, where there is no stack.

Where do I go to…?
    change how a command ends by Ctrl-C         signals.py
    read what the running stack tells others    running_stack.py
    show what is waited for                     waits.py
    see what is not installed here              parts.py
"""
