"""What is said to the user."""

import logging
import sys

from multikeras import config


def print_msg(message: str, line_break: bool = True) -> None:
    """Print a message for the user, or log it where interactive logging is off.

    >>> print_msg("ready")
    ready
    """
    if not config.is_interactive_logging_enabled():
        logging.getLogger("multikeras").info(message)
        return
    message = message + "\n" if line_break else message
    try:
        sys.stdout.write(message)
    except UnicodeEncodeError:
        encoding = sys.stdout.encoding or "ascii"
        sys.stdout.write(message.encode(encoding, errors="replace").decode(encoding))
    sys.stdout.flush()
