"""The states that applications side by side keep in the one state of the server. Knows no path and no answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bridge.mount.lifespans import Lifespans

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.protocols import AsgiApplication, Receive, Scope, Send

# Where the server's state keeps those of the applications, which do not see it.
_STATES: Final = "bridge.mount.states"


async def live(applications: Sequence[tuple[str, AsgiApplication]], scope: Scope, receive: Receive, send: Send) -> None:
    """Run the lifespans of *applications* as one, and keep what each puts into its state for its requests."""
    lifespans = Lifespans(applications)

    def keep_states() -> None:
        state = scope.get("state")
        if state is not None:
            state[_STATES] = lifespans.states

    await lifespans.run(scope, receive, send, keep_states)


def state_of(state: dict[str, Any], number: int) -> dict[str, Any]:
    """Return the state for a request to one application: a dictionary of its own.

    Args:
        state: the server's for this request.
        number: the application's, in the order that :func:`live` was given.

    Returns:
        What it has put there, before what the server, before what the other applications have put there.
    """
    states = state.get(_STATES)
    if states is None:  # a server without lifespan, or one that did not run it
        return dict(state)
    own = {name: value for one in states for name, value in one.items()}
    own.update(state)
    # An application that is a composition itself has one of these in its own state, and must not find this one.
    del own[_STATES]
    own.update(states[number])
    return own
