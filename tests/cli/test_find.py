"""Which object of a file is the application, when the user does not say."""

from __future__ import annotations

from types import ModuleType

import pytest

from bridge.cli.find import name_of_application
from bridge.errors import LoadError

CALL = "(environ, start_response): ..."
CLASS = "class Framework:\n    def __call__(self, environ, start_response): ...\n    def __iter__(self): ...\n"


def module(source: str) -> ModuleType:
    made = ModuleType("web")
    exec(source, vars(made))
    return made


@pytest.mark.parametrize(
    ("source", "name"),
    [
        pytest.param(f"def other{CALL}\ndef app{CALL}\ndef application{CALL}", "app", id="app first"),
        pytest.param(f"def other{CALL}\ndef application{CALL}", "application", id="then application"),
        pytest.param("app = 'whatever it is'", "app", id="app, even if it is none"),
        pytest.param(f"def other{CALL}", "other", id="the only function"),
        pytest.param("async def other(scope, receive, send): ...", "other", id="the only ASGI function"),
        pytest.param(f"{CLASS}site = Framework()", "site", id="the only object"),
        pytest.param(f"{CLASS}site = same = Framework()", "site", id="one object of two names"),
        pytest.param(f"def _hidden{CALL}\ndef site{CALL}", "site", id="private ones do not count"),
        pytest.param(f"def add(first, second): ...\ndef site{CALL}", "site", id="nor do helpers"),
        pytest.param(f"from shutil import copy\ndef site{CALL}", "site", id="nor do imported functions"),
        pytest.param(
            f"from werkzeug.wsgi import wrap_file\ndef site{CALL}", "site", id="nor those that take an environ"
        ),
        pytest.param(f"from flask import request, session\ndef site{CALL}", "site", id="nor what cannot be looked at"),
    ],
)
def test_the_application_is_found(source: str, name: str) -> None:
    """By its usual names, else if nothing else can be meant."""
    pytest.importorskip("flask", reason="one of the modules imports Flask: the extra matrix")
    assert name_of_application(module(source), "web.py") == name


@pytest.mark.parametrize(
    ("source", "said"),
    [
        pytest.param(
            f"def one{CALL}\ndef two{CALL}", "but one, two; name one of them, as in web.py:one", id="more than one"
        ),
        pytest.param(
            "def create_app(): ...", "a function create_app; to call it, write web.py:create_app()", id="a factory"
        ),
        pytest.param("import os", "nor any other WSGI or ASGI application", id="none"),
    ],
)
def test_what_there_is_instead_is_said(source: str, said: str) -> None:
    """The user sees what to write."""
    with pytest.raises(LoadError) as caught:
        name_of_application(module(source), "web.py")
    assert str(caught.value).startswith("'web.py' has neither 'app' nor 'application'")
    assert said in str(caught.value)
