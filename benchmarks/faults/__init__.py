"""The fault campaign: what really happens to servers, done to a running sync on purpose.

Promise: every fault is injected into a stack of the campaign's own, through what an accident would
use (signals, sockets, disks, locks): the product runs unchanged.

Where do I go to…?
    run it, bound it, read its last line         __main__.py
    see what one round does, and in which order  rounds.py, recovery.py
    change how often each fault comes            deck.py
    see the stack that is disturbed              scene.py, mending.py
    see what a photographer does meanwhile       photographer.py
    add a fault                                  kinds.py, then one of the next four
    kill processes, also at a chosen statement   killing.py, row_locks.py
    restart servers                              restarting.py
    change what S3 answers                       s3_proxy.py
    spoil the result storage                     spoiling.py
    see what is held against what                audit.py, ledger.py
    change the table                             report.py
"""
