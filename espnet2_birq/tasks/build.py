"""Objects from configuration: every key is checked, and a wrong one is named with what would be right."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from typing import Any

from espnet2.train.class_choices import ClassChoices
from typeguard import TypeCheckError

from espnet2_birq.errors import BadInputError


def build(choices: ClassChoices, name: str | None, conf: Mapping[str, Any], **derived: Any) -> Any:
    """Instantiate the class that ``name`` stands for, or return None for no name.

    Args:
        choices: registry of the group, e.g. quantizer.
        name: chosen class.
        conf: the user's ``<group>_conf``.
        derived: arguments that other parts of the configuration decide; not the user's to set.

    Raises:
        BadInputError: on an unknown class or key, or a value that the class refuses, naming group and key.
    """
    try:
        cls = choices.get_class(name)
    except (ValueError, KeyError) as error:
        known = ", ".join(sorted(choices.classes))
        raise BadInputError(f"{choices.name}: must be one of {known}, got {name!r}") from error
    if cls is None:
        return None
    group = f"{choices.name}_conf"
    parameters = inspect.signature(cls).parameters
    allowed = [key for key in parameters if key not in derived]
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        for key in conf:
            if key not in allowed:
                raise BadInputError(f"{group}: unknown key {key!r}{suggestion(key, allowed)} ({choices.name}: {name})")
    try:
        return cls(**derived, **conf)
    except (ValueError, TypeError, TypeCheckError) as error:
        raise BadInputError(f"{group} ({choices.name}: {name}): {error}") from error


def suggestion(key: str, allowed: list[str]) -> str:
    """What could have been meant, for an error line."""
    close = difflib.get_close_matches(key, allowed, n=1)
    return (f"; did you mean {close[0]!r}?" if close else "") + f"; allowed: {', '.join(sorted(allowed))}"
