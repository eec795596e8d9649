"""A stand-in for Alibaba Cloud Model Studio that speaks over real sockets."""

from .account import Account, Model, QueryError
from .faults import Fault
from .server import Request, Simulator

__all__ = ["Account", "Fault", "Model", "QueryError", "Request", "Simulator"]
