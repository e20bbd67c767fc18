"""Which cells a run has. Pure; starts nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from compat_matrix import adapters
from compat_matrix.apps import APPS
from compat_matrix.model import NATIVE, Adapter, App
from compat_matrix.servers import RECIPES, Recipe

# Where an application is at home, by its interface: servers that lose and add the least.
HOMES = {"wsgi": "gunicorn-gthread", "asgi": "uvicorn-h11"}

QUICK_APPS = ("flask", "django", "django-asgi", "flask-asgi", "flask-streams")
QUICK_SERVERS = ("uvicorn-h11", "hypercorn-asyncio", "gunicorn-gthread", "waitress")


@dataclass(frozen=True)
class Planned:
    """One cell that is to be run."""

    app: App
    recipe: Recipe
    adapter: Adapter | None
    """None: natively."""


def plan(
    apps: Collection[str], servers: Collection[str], adapter_names: Collection[str]
) -> tuple[list[Planned], list[Planned]]:
    """Return the native cells of these applications on their home servers, and all others.

    Every application needs the former: they are what its oracle checks compare with.

    Args:
        apps: names.
        servers: names of recipes.
        adapter_names: names of adapters; ``"native"`` adds the native cells on *servers* too.
    """
    chosen = [app for app in APPS.values() if app.name in apps]
    standards = dict.fromkeys(app.same_as or app.name for app in chosen)
    native = [Planned(APPS[name], RECIPES[HOMES[APPS[name].interface]], None) for name in standards]
    bridged: list[Planned] = []
    for app in chosen:
        home = HOMES[app.interface]
        for recipe in (recipe for recipe in RECIPES.values() if recipe.name in servers):
            if recipe.interface == app.interface:
                if NATIVE in adapter_names and recipe.name != home and app.same_as is None:
                    bridged.append(Planned(app, recipe, None))
            else:
                bridged.extend(Planned(app, recipe, adapter) for adapter in _fitting(app, recipe, adapter_names))
    return native, bridged


def _fitting(app: App, recipe: Recipe, adapter_names: Collection[str]) -> Iterator[Adapter]:
    for name in adapters.names():
        if name in adapter_names and (adapter := adapters.find(name, app.interface, recipe.name)) is not None:
            yield adapter
