"""wsgiref's validator around a WSGI application, for its complaints. Knows no adapter."""

from __future__ import annotations

from importlib.util import find_spec, module_from_spec
from typing import TYPE_CHECKING, Any, cast

from bridge.cli.check.limits import MOST_SAID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bridge.protocols import Environ, StartResponse, WsgiApplication


class Validator:
    """A layer around WSGI applications that keeps what wsgiref's validator finds.

    Its copy of the module is its own, so that what is changed there is changed for nobody else:

    - Content-Type is not looked at: RFC 9110, 8.3 has it for a content, and even there it may be missing.
    - ``wsgi.input`` is the server's own: the validator refuses ``read()`` without a size, which ends where
      ``wsgi.input_terminated`` is true.
    """

    def __init__(self) -> None:
        self.complaints: list[str] = []
        self._validator = self._load()

    def __call__(self, application: WsgiApplication) -> WsgiApplication:
        def inside(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
            environ["wsgi.input"] = environ.pop("bridge.check.input")
            return application(environ, start_response)

        validated = self._validator(inside)

        def outside(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
            environ["bridge.check.input"] = environ["wsgi.input"]
            return validated(environ, start_response)

        return outside

    def _load(self) -> Callable[[WsgiApplication], WsgiApplication]:
        spec = find_spec("wsgiref.validate")
        if spec is None or spec.loader is None:
            raise ImportError("there is no module 'wsgiref.validate', which is part of Python")
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        names = vars(module)

        def keep(condition: object, *text: Any) -> None:
            if not condition:
                complaint = str(text[0]) if text else "a rule without a text"
                if len(self.complaints) < MOST_SAID:
                    self.complaints.append(complaint)
                raise AssertionError(*text)

        names["assert_"] = keep
        names["check_content_type"] = lambda status, headers: None  # pyright: ignore[reportUnknownLambdaType]
        return cast("Callable[[WsgiApplication], WsgiApplication]", names["validator"])
