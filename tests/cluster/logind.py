"""python-dbusmock's logind, which also says how long a shutdown may be delayed, as the kubelet asks."""

import dbus
from dbusmock.templates import logind
from dbusmock.templates.logind import *  # noqa: F403

# As logind.conf(5) lets an administrator set it; the kubelet would write it there if it was less than it needs.
DELAY_SECONDS = 120


def load(mock, parameters):
    logind.load(mock, parameters)
    mock.AddProperty(logind.MAIN_IFACE, "InhibitDelayMaxUSec", dbus.UInt64(DELAY_SECONDS * 1_000_000))
