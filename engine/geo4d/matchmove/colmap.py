"""pycolmap, kept quiet and kept off this process's signals. Import it from here alone."""

import signal
import threading

import pycolmap

# Its logging library takes SIGTERM over to print a stack trace; a terminated run has to cancel or end quietly,
# so the handler that Python knows of is put back.
if threading.current_thread() is threading.main_thread():
    _handler = signal.getsignal(signal.SIGTERM)
    if _handler is not None:
        signal.signal(signal.SIGTERM, _handler)

# COLMAP logs every step, and complains that the key frames are not on disk; only its errors matter here.
pycolmap.logging.logtostderr = True  # and not to files in the temporary folder
pycolmap.logging.minloglevel = int(pycolmap.logging.Level.ERROR)

__all__ = ["pycolmap"]
