"""The fault campaign: real server faults, caused on purpose while a sync runs.

Promise: every fault hits the campaign's own stack, by the means of a real accident (signals,
sockets, disks, locks). The product runs unchanged.

Where do I go to…?
    run it, limit it, read its last line         __main__.py
    see the steps of one round                   rounds.py, recovery.py
    change how often each fault comes            deck.py
    see the stack that the faults hit            scene.py, mending.py
    see what a photographer does meanwhile       photographer.py, meddling.py
    see what guests do, and what they get        guests.py, visiting.py
    add a fault                                  moment.py, kinds.py, then one of the next five
    kill processes, also at a chosen statement   killing.py, row_locks.py
    restart servers                              restarting.py
    have servers stand still                     hanging.py
    change what S3 answers                       s3_proxy.py
    empty or fill the result storage             spoiling.py
    see what the audit compares                  audit.py, ledger.py
    change the table                             report.py
"""
