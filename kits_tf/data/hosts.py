"""Which hosts of a download can be found, so that one that cannot is not looked up anew for each of its files."""

import socket
import urllib.parse

from kits_tf.errors import InputError


class HostError(InputError):
    """A host that cannot be found; the same for all its files."""


class Hosts:
    """What a download's transfers have met, from several threads.

    A host that was found once may be looked for again: a network that fails for a while does not end a long download.
    """

    def __init__(self):
        self._found, self._lost = set(), {}

    def check(self, url):
        """Raises HostError where the host of an address was given up."""
        host = host_of(url)
        if host in self._lost and host not in self._found:
            raise HostError(host, f"cannot be found ({self._lost[host]}); none of its files is tried further")

    def answered(self, url):
        """Notes that the host of an address was found."""
        self._found.add(host_of(url))

    def failed(self, url, error, is_last):
        """Notes the error of an attempt at an address; gives its host up where it is not there.

        Args:
            url: the address.
            error: what the attempt raised.
            is_last: whether there is to be no further attempt. A host that the name server does not know needs none.

        Raises:
            HostError: the host is given up.
        """
        reason = getattr(error, "reason", None)  # of a urllib.error.URLError
        if not isinstance(reason, socket.gaierror):
            self.answered(url)
        elif is_last or reason.errno == socket.EAI_NONAME:
            self._lost[host_of(url)] = reason.strerror
            self.check(url)


def host_of(url):
    """The host of an address."""
    return urllib.parse.urlsplit(url).hostname
