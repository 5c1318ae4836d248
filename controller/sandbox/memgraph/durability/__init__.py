"""What survives a SIGKILL: the log, storage snapshots, the state files, and the directory's lock.

Belongs here: bytes on disk and how a start finds its way back from them, epochs and history
included, because those live only in log and snapshots. Does not belong here: talking to anyone.
"""
