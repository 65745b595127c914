"""The sync of one event, and the change of its model: hold, plan, embed, store, report.

Where do I go to…?
    see who may sync an event, and how a sync ends   hold.py
    see what the steps know about the run            context.py
    see how S3 is listed and new photos are planned  plan.py
    see what is done with a batch                    batch.py
    see what is cached, under which key              embed.py
    see how many batches run at a time, and where    runner.py
    see the guide's statistics                       report.py
    change what Prefect's UI shows of a sync         artifacts.py
    see how errors become final states in Prefect    states.py
    see how an event's model is changed              reembed.py
    see what the hourly resync starts                resync.py
"""
