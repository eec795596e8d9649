"""Forms of the config flow and the options flow, and the names of regions in them."""

from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
import re
from typing import Any

import voluptuous as vol
from yarl import URL

from homeassistant.const import CONF_API_KEY, CONF_NAME, CONF_REGION, CONF_URL
from homeassistant.data_entry_flow import section
from homeassistant.helpers.selector import (
    BooleanSelector,
    SelectOptionDict,
    SelectSelector,
    SelectSelectorConfig,
    SelectSelectorMode,
    TextSelector,
    TextSelectorConfig,
    TextSelectorType,
)

from .const import (
    CONF_ACCESS_KEY_ID,
    CONF_ACCESS_KEY_SECRET,
    CONF_BASE_URL,
    CONF_INSTANCE,
    CONF_MODELS,
    CONF_WORKSPACE_ID,
    NO_INSTANCE,
)
from .model_studio import (
    DEFAULT_REGION,
    REGIONS,
    WORKSPACE_REGIONS,
    ModelUsage,
    Money,
    PrometheusInstance,
    SpendGroup,
    plain_text,
)
from .options import GROUP_OPTIONS, followed_groups, group_name
from .validation import CONF_ALL_MODELS, CONF_ENDPOINTS, ENDPOINTS

PLACE_WORKSPACE = "workspace"
PLACE_URL = "url"
"""The options of the region select that are not regions."""
_WORKSPACE_HOST = re.compile(
    rf"https://([^./]+)\.({'|'.join(WORKSPACE_REGIONS)})\.maas\.aliyuncs\.com/api/v1"
)

PASSWORD_SELECTOR = TextSelector(TextSelectorConfig(type=TextSelectorType.PASSWORD))
URL_SELECTOR = TextSelector(TextSelectorConfig(type=TextSelectorType.URL))
BASE_URL_SELECTOR = SelectSelector(
    SelectSelectorConfig(
        options=[*REGIONS, PLACE_WORKSPACE, PLACE_URL],
        mode=SelectSelectorMode.DROPDOWN,
        translation_key="base_url",
    )
)
REGION_SELECTOR = SelectSelector(
    SelectSelectorConfig(
        options=list(WORKSPACE_REGIONS),
        mode=SelectSelectorMode.DROPDOWN,
        translation_key="region",
    )
)

API_KEY_SCHEMA = vol.Schema(
    {
        vol.Optional(CONF_NAME): TextSelector(),
        vol.Required(CONF_API_KEY): PASSWORD_SELECTOR,
        vol.Required(CONF_BASE_URL): BASE_URL_SELECTOR,
    }
)
ENVIRONMENT_SCHEMA = vol.Schema(
    {
        vol.Optional(CONF_NAME): TextSelector(),
        vol.Required(CONF_BASE_URL): BASE_URL_SELECTOR,
    }
)
RECONFIGURE_SCHEMA = vol.Schema(
    {
        vol.Optional(CONF_API_KEY): PASSWORD_SELECTOR,
        vol.Required(CONF_BASE_URL): BASE_URL_SELECTOR,
    }
)
REAUTH_SCHEMA = vol.Schema({vol.Required(CONF_API_KEY): PASSWORD_SELECTOR})
URL_SCHEMA = vol.Schema(
    {
        vol.Required(CONF_URL): URL_SELECTOR,
        vol.Optional(CONF_API_KEY): PASSWORD_SELECTOR,
    }
)
WORKSPACE_SCHEMA = vol.Schema(
    {
        vol.Required(CONF_WORKSPACE_ID): TextSelector(),
        vol.Required(CONF_REGION, default=DEFAULT_REGION): REGION_SELECTOR,
        vol.Optional(CONF_API_KEY): PASSWORD_SELECTOR,
    }
)


def region_schema(region: str) -> vol.Schema:
    """Return the form that offers one region."""
    return vol.Schema(
        {
            vol.Required(CONF_REGION, default=region): SelectSelector(
                SelectSelectorConfig(
                    options=[region],
                    mode=SelectSelectorMode.LIST,
                    translation_key="region",
                )
            )
        }
    )


def access_key_schema(region: str, *, endpoints_open: bool) -> vol.Schema:
    """Return the form of an AccessKey."""
    return vol.Schema(
        {
            vol.Optional(CONF_ACCESS_KEY_ID): TextSelector(),
            vol.Optional(CONF_ACCESS_KEY_SECRET): PASSWORD_SELECTOR,
            vol.Required(CONF_REGION, default=region): REGION_SELECTOR,
            # With a default, the frontend would show that instead of suggestions.
            vol.Optional(CONF_ENDPOINTS): section(
                vol.Schema({vol.Optional(name): URL_SELECTOR for name in ENDPOINTS}),
                {"collapsed": not endpoints_open},
            ),
        }
    )


def prometheus_schema(
    instances: Iterable[PrometheusInstance], region: str
) -> vol.Schema:
    """Return the form that offers Prometheus instances. Those of a region come first."""
    ordered = sorted(
        instances, key=lambda it: (it.region != region, it.region or "", it.name or "")
    )
    return vol.Schema(
        {
            vol.Required(CONF_INSTANCE): SelectSelector(
                SelectSelectorConfig(
                    options=[
                        *(
                            SelectOptionDict(
                                value=instance.id,
                                label=f"{instance.name or instance.id}"
                                f" ({instance.region or '–'})",
                            )
                            for instance in ordered
                        ),
                        SelectOptionDict(value=NO_INSTANCE, label=NO_INSTANCE),
                    ],
                    mode=SelectSelectorMode.LIST,
                    translation_key="instance",
                )
            )
        }
    )


def models_schema(
    models: Mapping[str, ModelUsage],
    *,
    follow_all: bool,
    used: Collection[str],
    chosen: Iterable[str],
) -> vol.Schema:
    """Return the form that offers all models that report usage, or a selection.

    Models that are used come first, then those of the Qwen family, then the others.
    `follow_all` is the default of the switch for all models.
    """
    chosen = list(chosen)
    names = sorted(
        {*models, *chosen},
        key=lambda name: (name not in used, not name.startswith("qw"), name),
    )
    return vol.Schema(
        {
            vol.Required(CONF_ALL_MODELS, default=follow_all): BooleanSelector(),
            vol.Optional(
                CONF_MODELS, default=[], description={"suggested_value": chosen}
            ): _multiple(
                SelectOptionDict(value=name, label=_label(name, models))
                for name in names
            ),
        }
    )


def groups_schema(
    billed: Mapping[str, Mapping[str, Money | None]],
    names: Mapping[str, str],
    chosen: Mapping[str, Iterable[str]],
) -> vol.Schema:
    """Return the form that offers groups, with a field for each option.

    `billed` is the spend of the groups by option and ID, `names` are their names by ID,
    and `chosen` are the selected IDs by option. Groups with the highest spend come first.
    """
    fields: dict[vol.Marker, SelectSelector] = {}
    for key, spend in billed.items():
        suggested = {"suggested_value": list(chosen[key])}
        groups = {**dict.fromkeys(chosen[key]), **spend}
        fields[vol.Optional(key, default=[], description=suggested)] = _multiple(
            SelectOptionDict(
                value=group_id, label=_group_label(group_id, names.get(group_id), money)
            )
            for group_id, money in sorted(groups.items(), key=_by_spend)
        )
    return vol.Schema(fields)


def group_fields(options: Mapping[str, Any]) -> dict[str, dict[str, SpendGroup]]:
    """Return the followed groups by option and label."""
    fields: dict[str, dict[str, SpendGroup]] = {}
    for group in followed_groups(options):
        name = _group_label(group.id, group_name(options, group), None)
        fields.setdefault(GROUP_OPTIONS[group.dimension], {})[name] = group
    return fields


def _by_spend(group: tuple[str, Money | None]) -> tuple[bool, Decimal, str]:
    """Return the key that sorts groups by their spend, those without a known one last."""
    group_id, spend = group
    amount = Decimal() if spend is None else spend.amount
    return spend is None, -amount, group_id


def _group_label(group_id: str, name: str | None, spend: Money | None) -> str:
    """Return the name of a group with its ID, or only its ID, and its spend if known."""
    details = [plain_text(group_id)]
    if spend is not None:
        details.append(f"{spend.amount:,.2f} {spend.currency}")
    name = name or details.pop(0)
    return f"{name} ({', '.join(details)})" if details else name


def _multiple(options: Iterable[SelectOptionDict]) -> SelectSelector:
    """Return a selector for several options."""
    return SelectSelector(
        SelectSelectorConfig(
            options=list(options), multiple=True, mode=SelectSelectorMode.DROPDOWN
        )
    )


def _label(name: str, models: Mapping[str, ModelUsage]) -> str:
    """Return a model's name with its limits."""
    label = plain_text(name)
    if (model := models.get(name)) is None:
        return label
    limits = [
        f"{value:,} {unit}".rstrip()
        for value, unit in (
            (model.limit, ""),
            (model.rate_limit.rpm, "RPM"),
            (model.rate_limit.tpm, "TPM"),
        )
        if value is not None
    ]
    return f"{label} ({', '.join(limits)})" if limits else label


def place_of(base_url: str) -> tuple[str, dict[str, str]]:
    """Return the option of the region select for a base URL, and further input.

    The further input is what the step after this option asks for.
    """
    for region, url in REGIONS.items():
        if url == base_url:
            return region, {}
    if match := _WORKSPACE_HOST.fullmatch(base_url):
        workspace_id, region = match.groups()
        return PLACE_WORKSPACE, {CONF_WORKSPACE_ID: workspace_id, CONF_REGION: region}
    return PLACE_URL, {CONF_URL: base_url}


def region_of(base_url: str) -> str:
    """Return the region of a base URL, the default region if it has none."""
    place, details = place_of(base_url)
    return place if place in REGIONS else details.get(CONF_REGION, DEFAULT_REGION)


def default_title(base_url: str) -> str:
    """Return the suggested title of an account: its region, workspace or host."""
    place, _ = place_of(base_url)
    if place not in REGIONS:
        place = (URL(base_url).host or base_url).removesuffix(".maas.aliyuncs.com")
    return f"Model Studio ({place})"
