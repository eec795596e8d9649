"""The simulator: the server, and a control API to look at it and to change it."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
import json
from typing import Any, override

from aiohttp import web

from .account import ANSWERS, PERIODS
from .faults import OPTIONS, Failure, Fault
from .server import GRANTS, SERVICES, Server, Service

CONTROL_PATH = "/control"
CURRENCIES = ("CNY", "USD", "JPY")
LONGEST_ADVANCE = 366 * 24 * 60 * 60
LARGEST_NUMBER = 1_000_000_000

# Keys of a control request.
_WISHES = {
    "fault",
    "at",
    "options",
    "answer",
    "roll_over",
    "advance",
    "add_models",
    "remove_models",
    "api_keys",
    "correction",
    "access_keys",
    "denied",
    "clock_offset",
    "currency",
}


class WishError(ValueError):
    """Raised if a control request is invalid; the text is the reason."""


class Simulator(Server):
    """The server, with a control API on the same port."""

    @property
    def control_url(self) -> str:
        """The URL of the control API; valid after `start`."""
        return f"{self.openapi_url}{CONTROL_PATH}"

    @override
    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == CONTROL_PATH:
            return await self._control(request)
        return await super()._answer(request)

    async def _control(self, request: web.BaseRequest) -> web.Response:
        """Answer with the state, after changing it if the request is a POST."""
        if request.method == "POST":
            try:
                # Validate all changes before making any.
                for change in list(self._changes(json.loads(await request.read()))):
                    change()
            except ValueError as err:
                return web.json_response({"error": str(err)}, status=400)
        elif request.method != "GET":
            return web.json_response({"error": "GET or POST"}, status=405)
        return web.json_response(self._state())

    def _state(self) -> dict[str, Any]:
        """Return the state as JSON data."""
        return {
            **_as_json(self._failures.get("quotas")),
            "faults": {
                service: _as_json(self._failures[service])
                for service in SERVICES
                if service in self._failures
            },
            "answer": self.account.answer,
            "requests": len(self.requests),
            "signed_requests": len(self.signed_requests),
            "virtual_time": self.account.now.isoformat(),
            "api_keys": sorted(self.api_keys),
            "access_keys": sorted(self.access_keys),
            "denied": sorted(self.denied),
            "clock_offset": self.clock_offset.total_seconds(),
            "currency": self.account.currency,
            "models": self.account.model_names,
        }

    def _changes(self, wishes: Any) -> Iterator[Callable[[], object]]:
        """Yield the changes of a control request as functions to call.

        Raises `WishError` if a key or a value is unknown or invalid.
        """
        if not isinstance(wishes, dict):
            raise WishError("an object is wanted")
        if unknown := wishes.keys() - _WISHES:
            raise WishError(f"unknown: {', '.join(sorted(unknown))}")
        if "options" in wishes and wishes.get("fault") is None:
            raise WishError("options need a fault")
        if "at" in wishes and "fault" not in wishes:
            raise WishError("at needs a fault")
        account = self.account
        # The time changes first, so that a correction is of the new day.
        if "roll_over" in wishes:
            period = _one_of("roll_over", wishes["roll_over"], PERIODS)
            yield partial(account.roll_over, period)
        if "advance" in wishes:
            seconds = _number("advance", wishes["advance"])
            if not 0 <= seconds <= LONGEST_ADVANCE:
                raise WishError(f"advance must be 0 to {LONGEST_ADVANCE} seconds")
            yield partial(account.advance, timedelta(seconds=seconds))
        if "correction" in wishes:
            amount = _number("correction", wishes["correction"])
            yield partial(setattr, account, "correction", amount)
        if "answer" in wishes:
            answer = _one_of("answer", wishes["answer"], ANSWERS)
            yield partial(setattr, account, "answer", answer)
        for name in _names("remove_models", wishes.get("remove_models", [])):
            if not account.has_model(name):
                raise WishError(f"the account has no model {name}")
            yield partial(account.remove_model, name)
        for name in _names("add_models", wishes.get("add_models", [])):
            if name in account.model_names:
                raise WishError(f"the account already has the model {name}")
            yield partial(account.add_model, name)
        if "api_keys" in wishes:
            keys = set(_names("api_keys", wishes["api_keys"]))
            yield partial(setattr, self, "api_keys", keys)
        if "access_keys" in wishes:
            access_keys = _secrets("access_keys", wishes["access_keys"])
            yield partial(setattr, self, "access_keys", access_keys)
        if "denied" in wishes:
            denied = {
                _one_of("denied", name, GRANTS)
                for name in _names("denied", wishes["denied"])
            }
            yield partial(setattr, self, "denied", denied)
        if "clock_offset" in wishes:
            seconds = _number("clock_offset", wishes["clock_offset"])
            offset = timedelta(seconds=seconds)
            yield partial(setattr, self, "clock_offset", offset)
        if "currency" in wishes:
            currency = _one_of("currency", wishes["currency"], CURRENCIES)
            yield partial(setattr, account, "currency", currency)
        if "fault" in wishes:
            failure = _failure(wishes["fault"], wishes.get("options", {}))
            if "at" in wishes:
                at = _one_of("at", wishes["at"], SERVICES)
                yield partial(self._set_failure, at, failure)
            elif failure:
                yield partial(self._set_failure, "quotas", failure)
            else:
                yield self.recover

    def _set_failure(self, service: Service, failure: Failure | None) -> None:
        """Set the failure of a service; None ends it."""
        if failure:
            self._failures[service] = failure
        else:
            self.recover(at=service)


def _as_json(failure: Failure | None) -> dict[str, Any]:
    """Return a failure as JSON data."""
    return {
        "fault": failure and failure.fault,
        "options": failure.options if failure else {},
    }


def _failure(name: Any, options: Any) -> Failure | None:
    """Return the failure that a control request names; None ends the failure.

    Raises `WishError` if the fault or an option is unknown or invalid.
    """
    if name is None:
        return None
    fault = Fault(_one_of("fault", name, tuple(Fault)))
    if not isinstance(options, dict):
        raise WishError("options must be an object")
    for option, value in options.items():
        if option not in OPTIONS:
            raise WishError(f"options must be of {', '.join(OPTIONS)}, not {option}")
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, OPTIONS[option])
        ):
            raise WishError(f"options: {option} is of the wrong type")
    return Failure(fault=fault, **options)


def _one_of[T: str](key: str, value: Any, known: tuple[T, ...]) -> T:
    """Return the known value that equals a value; raises `WishError` without one."""
    for item in known:
        if item == value:
            return item
    raise WishError(f"{key} must be one of {', '.join(known)}")


def _number(key: str, value: Any) -> float:
    """Return a value; raises `WishError` unless it is a finite number in range."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise WishError(f"{key} must be a number")
    if not abs(value) <= LARGEST_NUMBER:
        raise WishError(f"{key} must be finite and below {LARGEST_NUMBER}")
    return value


def _names(key: str, value: Any) -> list[str]:
    """Return a list of names without duplicates.

    Raises `WishError` if the value is not a list of names.
    """
    if not isinstance(value, list) or not all(
        isinstance(name, str) and name for name in value
    ):
        raise WishError(f"{key} must be a list of names")
    return list(dict.fromkeys(value))


def _secrets(key: str, value: Any) -> dict[str, str]:
    """Return a value; raises `WishError` unless it is an object of secrets by ID."""
    if not isinstance(value, dict) or not all(
        isinstance(secret, str) and access_key_id and secret
        for access_key_id, secret in value.items()
    ):
        raise WishError(f"{key} must be an object of secrets by id")
    return value
