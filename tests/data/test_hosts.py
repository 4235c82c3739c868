"""Proves which hosts of a download are given up, and when."""

import socket
import urllib.error

import pytest

from kits_tf.data.hosts import HostError, Hosts

URL, SECOND, OTHER = "http://a.invalid/0", "http://a.invalid:8080/1", "http://b.invalid/0"
AGAIN = urllib.error.URLError(socket.gaierror(socket.EAI_AGAIN, "Temporary failure"))
UNKNOWN = urllib.error.URLError(socket.gaierror(socket.EAI_NONAME, "Name not known"))


def test_a_host_is_given_up_at_the_last_attempt_with_all_its_files():
    hosts = Hosts()
    hosts.failed(URL, AGAIN, is_last=False)
    hosts.check(URL)
    told = r"^a.invalid: cannot be found \(Temporary failure\); none of its files is tried further$"
    with pytest.raises(HostError, match=told):
        hosts.failed(URL, AGAIN, is_last=True)
    with pytest.raises(HostError, match=told):
        hosts.check(SECOND)
    hosts.check(OTHER)


def test_a_host_that_no_one_knows_is_given_up_at_once():
    with pytest.raises(HostError, match="Name not known"):
        Hosts().failed(URL, UNKNOWN, is_last=False)


@pytest.mark.parametrize("error", [None, TimeoutError("silence"), urllib.error.URLError(ConnectionRefusedError())])
def test_a_host_that_was_found_is_not_given_up(error):
    hosts = Hosts()
    if error is None:
        hosts.answered(URL)
    else:
        hosts.failed(URL, error, is_last=True)
    hosts.failed(SECOND, UNKNOWN, is_last=True)
    hosts.check(SECOND)
