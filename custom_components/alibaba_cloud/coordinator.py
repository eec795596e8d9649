"""Polls an account, and says what its failures mean."""

from collections.abc import Collection, KeysView, Mapping
from contextlib import suppress
from datetime import timedelta
from enum import StrEnum
import os
from typing import Any, TypedDict, override

from homeassistant.config_entries import SOURCE_REAUTH, SOURCE_RECONFIGURE, ConfigEntry
from homeassistant.const import CONF_API_KEY
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import device_registry as dr
from homeassistant.helpers.aiohttp_client import async_get_clientsession
from homeassistant.helpers.storage import Store
from homeassistant.helpers.update_coordinator import DataUpdateCoordinator, UpdateFailed
from homeassistant.util import dt as dt_util

from .const import CONF_API_KEY_ENV, CONF_BASE_URL, CONF_MODELS, DOMAIN, LOGGER
from .model_studio import (
    AccountError,
    AccountSnapshot,
    AuthenticationError,
    ConnectionFailedError,
    InvalidAnswerError,
    ModelStudioClient,
    ModelStudioError,
    ModelUsage,
    RateLimitError,
    SpendWindow,
    follow_account,
    parse_answer,
)

UPDATE_INTERVAL = timedelta(seconds=30)
REJECTED_KEY_INTERVAL = timedelta(minutes=5)
FIRST_BACKOFF = timedelta(minutes=1)
LONGEST_BACKOFF = timedelta(minutes=15)
LONGEST_RETRY_AFTER = timedelta(hours=1)
SAVE_DELAY = timedelta(minutes=15)

type AlibabaCloudConfigEntry = ConfigEntry[AlibabaCloudCoordinator]


class Status(StrEnum):
    """How the last poll ended."""

    OK = "ok"
    AUTH = "auth"
    LIMITED = "limited"
    ERROR = "error"


FAILURES: Mapping[type[ModelStudioError], tuple[Status, str]] = {
    AuthenticationError: (Status.AUTH, "invalid_auth"),
    RateLimitError: (Status.LIMITED, "rate_limited"),
    AccountError: (Status.ERROR, "account_unavailable"),
    ConnectionFailedError: (Status.ERROR, "cannot_connect"),
    InvalidAnswerError: (Status.ERROR, "invalid_answer"),
}
"""What each error means: a status, and a text in the translations."""


class PollFailed(UpdateFailed):
    """A poll that brought no figures."""

    def __init__(
        self,
        status: Status,
        translation_key: str,
        placeholders: dict[str, str],
        retry_after: timedelta | None = None,
    ) -> None:
        """Keep what the failure means."""
        super().__init__(
            translation_domain=DOMAIN,
            translation_key=translation_key,
            translation_placeholders=placeholders,
            retry_after=retry_after.total_seconds() if retry_after else None,
        )
        self.status = status


def api_key_of(data: Mapping[str, Any]) -> str:
    """Return the API key of an entry, empty where its environment variable is gone."""
    if variable := data.get(CONF_API_KEY_ENV):
        return os.environ.get(variable, "").strip()
    return str(data[CONF_API_KEY])


class StoredAccount(TypedDict):
    """What of an account outlasts a run."""

    base_url: str
    """Where it was read; elsewhere is another account."""
    answer: str | None
    """The last account answer as it came."""
    spend: dict[str, dict[str, str]]
    """Since when the spend figures add up."""


def account_store(hass: HomeAssistant, entry_id: str) -> Store[StoredAccount]:
    """Return where an entry keeps what outlasts a run."""
    return Store(hass, 1, f"{DOMAIN}.{entry_id}")


class AlibabaCloudCoordinator(DataUpdateCoordinator[AccountSnapshot | None]):
    """One account: its figures, and how the last poll ended.

    `data` holds the last figures that were read, None before the first.
    """

    config_entry: AlibabaCloudConfigEntry
    device_id: str
    """The account's device, which those of its models hang on."""

    def __init__(self, hass: HomeAssistant, entry: AlibabaCloudConfigEntry) -> None:
        """Prepare the client with the entry's key."""
        self._api_key = api_key_of(entry.data)
        self.client = ModelStudioClient(
            async_get_clientsession(hass),
            base_url=entry.data[CONF_BASE_URL],
            api_key=self._api_key,
        )
        self._store = account_store(hass, entry.entry_id)
        super().__init__(
            hass,
            LOGGER,
            config_entry=entry,
            name=entry.title,
            update_interval=UPDATE_INTERVAL,
            always_update=False,
        )
        self._backoff = FIRST_BACKOFF
        self._reauth_asked = False
        self._notified: tuple[Any, ...] = ()
        self._stored_answer: str | None = None
        self._save_pending = False
        self._models: KeysView[str] | None = None
        self.spend: dict[str, SpendWindow] = {}
        """The windows in which `daily_spend` and `monthly_spend` add up."""

    @property
    def status(self) -> Status:
        """How the last poll ended."""
        if self.last_update_success:
            return Status.OK
        return getattr(self.last_exception, "status", Status.ERROR)

    @property
    def message(self) -> str | None:
        """What went wrong with the last poll."""
        if self.last_update_success or self.last_exception is None:
            return None
        return str(self.last_exception)

    @property
    def error(self) -> BaseException | None:
        """What the last poll failed with, None if it did not."""
        if self.last_update_success or self.last_exception is None:
            return None
        return self.last_exception.__cause__ or self.last_exception

    @property
    def missing_variable(self) -> str | None:
        """The environment variable that should hold the key and does not."""
        if self._api_key:
            return None
        return self.config_entry.data.get(CONF_API_KEY_ENV)

    @property
    def chosen_models(self) -> list[str]:
        """The models that the user chose; none, where nobody chose."""
        chosen: list[str] = self.config_entry.options.get(CONF_MODELS, [])
        return chosen

    @property
    def models(self) -> Collection[str]:
        """The models that are to have a device: the chosen ones that are listed.

        Where nobody chose, all that report usage.
        """
        if self.data is None:
            return set()
        if self.chosen_models:
            return self.data.models.keys() & self.chosen_models
        return set() if self.data.limits_only else self.data.models.keys()

    @property
    def has_current_data(self) -> bool:
        """Whether the figures still stand: throttling does not make them wrong."""
        return self.data is not None and self.status in (Status.OK, Status.LIMITED)

    def identifier(self, model: str | None) -> str:
        """Return what identifies the account's device, or that of a model.

        The unique ids of its entities start with it.
        """
        entry_id = self.config_entry.entry_id
        return entry_id if model is None else f"{entry_id}_model_{model}"

    def figures(self, model: str | None) -> AccountSnapshot | ModelUsage | None:
        """Return the account's figures, or those of a model; None without any."""
        if model is None or self.data is None:
            return self.data
        return self.data.models.get(model)

    async def async_load(self) -> None:
        """Take up the account where the last run left it."""
        stored = await self._store.async_load()
        if stored and stored.get("base_url") == self.config_entry.data[CONF_BASE_URL]:
            self._stored_answer = stored["answer"]
            self.spend = {
                key: SpendWindow.from_dict(window)
                for key, window in stored["spend"].items()
            }

    @override
    async def _async_update_data(self) -> AccountSnapshot:
        """Read the account.

        Raises `PollFailed` for every error of the client's.
        """
        try:
            snapshot = await self.client.get_account()
        except ModelStudioError as err:
            raise self._failed(err) from err
        if self._shutdown_requested:
            return snapshot
        self._backoff = FIRST_BACKOFF
        if self._reauth_asked:
            self._reauth_asked = False
            for flow in self.config_entry.async_get_active_flows(
                self.hass, {SOURCE_REAUTH}
            ):
                self.hass.config_entries.flow.async_abort(flow["flow_id"])
        self._follow_spend(snapshot)
        return snapshot

    def _failed(self, err: ModelStudioError) -> PollFailed:
        """Return what an error means, and when to poll next."""
        status, translation_key = FAILURES[type(err)]
        placeholders = {"error": str(err)}
        retry_after = None
        if isinstance(err, RateLimitError):
            retry_after = self._wait(err.retry_after)
            self._keep_last_figures()
        else:
            self._backoff = FIRST_BACKOFF
        if status is Status.AUTH:
            retry_after = REJECTED_KEY_INTERVAL
            if variable := self.missing_variable:
                translation_key = "environment_variable_missing"
                placeholders = {"variable": variable}
            # While the user reconfigures, Home Assistant asks for nothing else.
            if not (self._reauth_asked or self._shutdown_requested) and not any(
                self.config_entry.async_get_active_flows(
                    self.hass, {SOURCE_RECONFIGURE}
                )
            ):
                self._reauth_asked = True
                self.config_entry.async_start_reauth(self.hass)
        return PollFailed(status, translation_key, placeholders, retry_after)

    def _wait(self, retry_after: float | None) -> timedelta:
        """Return how long to leave a service alone that throttles."""
        if retry_after is not None:
            # Never faster than a service that does not throttle.
            return timedelta(
                seconds=min(
                    max(retry_after, UPDATE_INTERVAL.total_seconds()),
                    LONGEST_RETRY_AFTER.total_seconds(),
                )
            )
        wait = self._backoff
        self._backoff = min(wait * 2, LONGEST_BACKOFF)
        return wait

    @callback
    def _keep_last_figures(self) -> None:
        """Go on with the figures of the last run, if this one has none yet."""
        if self.data is None and self._stored_answer:
            with suppress(ModelStudioError):
                answer = parse_answer(self._stored_answer.encode())
                if isinstance(answer, AccountSnapshot):
                    self.data = answer

    @callback
    def _follow_spend(self, snapshot: AccountSnapshot) -> None:
        """Note since when the spend figures add up, and store the account.

        A roll-over at once, all else within a while and at the latest at the stop.
        """
        before, self.spend = (
            self.spend,
            follow_account(self.spend, snapshot, dt_util.utcnow()),
        )
        if any(
            window.since != getattr(before.get(key), "since", None)
            for key, window in self.spend.items()
        ):
            delay = 0.0
        elif snapshot != self.data and not self._save_pending:
            delay = SAVE_DELAY.total_seconds()
        else:
            return
        self._save_pending = True
        self._store.async_delay_save(self._to_store, delay)

    @callback
    def _to_store(self) -> StoredAccount:
        """Return what is stored, now that it is."""
        self._save_pending = False
        body = self.client.body
        return {
            "base_url": self.config_entry.data[CONF_BASE_URL],
            "answer": body.decode(errors="replace") if body else None,
            "spend": {key: window.as_dict() for key, window in self.spend.items()},
        }

    @callback
    @override
    def _async_refresh_finished(self) -> None:
        """Remove models that are gone, and tell of a failure that became another.

        The base class tells its listeners of the first failure alone.
        """
        if self.last_update_success and self.data:
            self._remove_gone_models(self.data)
        error = self.error
        told = (self.status, self.message, type(error), getattr(error, "status", None))
        notified, self._notified = self._notified, told
        if not self.last_update_success and notified != self._notified:
            self.async_update_listeners()

    @callback
    def _remove_gone_models(self, account: AccountSnapshot) -> None:
        """Remove the devices of models that are gone, or not among those chosen.

        Only a complete answer says that a model is gone.
        """
        if account.models_complete and account.models.keys() == self._models:
            return
        self._models = account.models.keys() if account.models_complete else None
        chosen = self.config_entry.options.get(CONF_MODELS)
        if not (chosen or account.limits_only):
            # An empty choice is one of all models that report usage.
            chosen = None
        registry = dr.async_get(self.hass)
        prefix = self.identifier("")
        for device in dr.async_child_entries_for_config_entry(
            registry, self.config_entry.entry_id
        ):
            for _, identifier in device.identifiers:
                name = identifier.removeprefix(prefix)
                if (account.models_complete and name not in account.models) or (
                    chosen is not None and name not in chosen
                ):
                    registry.async_remove_device(device.id)

    @override
    async def async_shutdown(self) -> None:
        """Stop polling; what is to be stored is stored before a reload reads it."""
        await super().async_shutdown()
        # Also unchanged: when the figures were last seen tells of a roll-over unseen.
        if self.client.body:
            await self._store.async_save(self._to_store())
