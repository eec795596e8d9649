"""Descriptions of figures: what each shows, when it exists and who reports it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from homeassistant.components.binary_sensor import BinarySensorEntityDescription
from homeassistant.components.sensor import (
    SensorDeviceClass,
    SensorEntityDescription,
    SensorStateClass,
)
from homeassistant.helpers.entity import EntityDescription

from .sources import Source


@dataclass(frozen=True, kw_only=True)
class FigureDescription[FiguresT](EntityDescription):
    """A figure of an account, a model or a group."""

    value_fn: Callable[[FiguresT], Any]
    """Returns the figure, None if it is unknown."""
    exists_fn: Callable[[FiguresT], bool] | None = None
    """Returns whether the figure was reported, if it can be unknown from the start."""
    sources: tuple[Source, ...] = (Source.QUOTAS,)
    """The sources that can report the figure.

    It is unavailable while it is unknown and one of them fails.
    """

    def exists(self, figures: FiguresT) -> bool:
        """Return whether the service has reported this figure."""
        if self.exists_fn:
            return self.exists_fn(figures)
        return self.value_fn(figures) is not None


@dataclass(frozen=True, kw_only=True)
class FigureSensorDescription[FiguresT](
    FigureDescription[FiguresT], SensorEntityDescription
):
    """A figure that is a sensor."""

    attributes_fn: Callable[[FiguresT], dict[str, Any]] | None = None


@dataclass(frozen=True, kw_only=True)
class FigureBinarySensorDescription[FiguresT](
    FigureDescription[FiguresT], BinarySensorEntityDescription
):
    """A figure that is on or off."""


money = partial(
    FigureSensorDescription[Any],
    device_class=SensorDeviceClass.MONETARY,
    suggested_display_precision=2,
)
total = partial(money, state_class=SensorStateClass.TOTAL)
