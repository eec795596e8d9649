"""A simulator of Alibaba Cloud Model Studio that serves HTTP on real sockets."""

from .account import Account, Model, QueryError
from .faults import Fault
from .server import DEFAULT_ACCESS_KEY_ID, DEFAULT_ACCESS_KEY_SECRET, Request, Simulator

__all__ = [
    "DEFAULT_ACCESS_KEY_ID",
    "DEFAULT_ACCESS_KEY_SECRET",
    "Account",
    "Fault",
    "Model",
    "QueryError",
    "Request",
    "Simulator",
]
