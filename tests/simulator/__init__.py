"""A simulator of Alibaba Cloud Model Studio that serves HTTP on real sockets."""

from .account import Account, Instance, Model, QueryError
from .control import Simulator
from .faults import Fault
from .server import DEFAULT_ACCESS_KEY_ID, DEFAULT_ACCESS_KEY_SECRET, Request

__all__ = [
    "DEFAULT_ACCESS_KEY_ID",
    "DEFAULT_ACCESS_KEY_SECRET",
    "Account",
    "Fault",
    "Instance",
    "Model",
    "QueryError",
    "Request",
    "Simulator",
]
