"""YAML in which every scalar but null is text: `02:00:00` is a time, `no` a word, `0123` has its zero.

Documents are PyYAML's nodes, which know their places. PyYAML is imported when the first one is made.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from pydantic_core import to_jsonable_python

from clustrix_core.errors import ConfigError, printable

if TYPE_CHECKING:
    import yaml

    Pairs = dict[str, tuple[yaml.Node, yaml.Node]]

T = TypeVar("T")

NULL, TEXT = "tag:yaml.org,2002:null", "tag:yaml.org,2002:str"
LIST, MAPPING = "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map"
_MERGE = "tag:yaml.org,2002:merge"


@cache
def _dialect() -> tuple[type[yaml.SafeLoader], type[yaml.SafeDumper]]:
    """A loader and a dumper that agree that all but null and the merge key is text."""
    import yaml

    null = [(NULL, re.compile(r"(null|Null|NULL)?\Z"))]
    resolvers = {"": null, "n": null, "N": null, "<": [(_MERGE, re.compile(r"<<\Z"))]}
    body = {"yaml_implicit_resolvers": resolvers}
    return type("Loader", (yaml.SafeLoader,), body), type("Dumper", (yaml.SafeDumper,), body)


# ---- reading


def parse(text: str, source: str, convert: Callable[[yaml.Node], T]) -> T:
    """Parse one YAML document.

    Args:
        text: the document.
        source: where it comes from, such as the path of a file; errors begin with it.
        convert: makes of the root (a null, where the document is empty) what is returned. Nodes may hold
            themselves, so it may run into a `RecursionError`, which is an error of the document.

    Raises:
        ConfigError: this is no valid YAML, or `convert` raised it. The message names line and column.
    """
    import yaml

    try:
        root = _compose(text, source)
        return convert(yaml.ScalarNode(NULL, "") if root is None else root)
    except yaml.MarkedYAMLError as error:
        parts = [_discreet(part) for part in (error.context, error.problem) if part]
        problem = ", ".join(parts) or "this is no valid YAML"
        message = f"{_place(source, error.problem_mark or error.context_mark)}: {problem}"
    except yaml.reader.ReaderError as error:
        message = f"{position(source, text[: error.position])}: this character isn't allowed in YAML"
    except RecursionError:
        message = f"{printable(source)}: this is nested too deeply, or holds itself"
    # Raised out here, so that the exception does not refer to PyYAML's, which holds the text.
    raise ConfigError(message)


def _compose(text: str, source: str) -> yaml.Node | None:
    loader, _ = _dialect()
    reader = loader(text)
    try:
        return reader.get_single_node()
    except (ValueError, OverflowError):  # which PyYAML lets pass
        place = _place(source, reader.get_mark())
    raise ConfigError(f"{place}: there is no character, or version of YAML, of this number")


def _discreet(problem: str) -> str:
    """PyYAML's message without the words it quotes: `password: *x` is an alias to it, perhaps a secret."""
    return re.sub(r"'([^']*)'", lambda m: m[0] if len(m[1]) < 3 or m[1][0] == "<" else "'...'", problem)


def plain(node: yaml.Node, source: str) -> Any:
    """What a node holds: text, None, a list or a dict of these.

    Raises:
        ConfigError: it holds a tag, or a mapping that `pairs` refuses.
    """
    if node.tag == NULL:
        return None
    if node.tag == TEXT:
        return node.value
    if node.tag == LIST:
        return [plain(item, source) for item in node.value]
    if node.tag == MAPPING:
        return {name: plain(item, source) for name, (_, item) in pairs(node, source).items()}
    fault(source, node, "a tag isn't understood here; quote a value that begins with !")


def pairs(node: yaml.Node, source: str) -> Pairs:
    """The items of a mapping, as nodes of keys and values by their names, with `<<` merged in.

    Raises:
        ConfigError: it is no mapping (nothing at all is an empty one), a name is there twice or is no text.
    """
    if node.tag == NULL:
        return {}
    if node.tag != MAPPING:
        fault(source, node, "names with values are needed here, as in `cluster_type: ssh`")
    own: Pairs = {}
    merged: Pairs = {}
    for key, item in node.value:
        if key.tag == _MERGE:
            for base in item.value if item.tag == LIST else [item]:
                merged = {**pairs(base, source), **merged}
            continue
        if key.tag not in (TEXT, NULL):
            fault(source, key, "a name should be text")
        if key.value in own:
            fault(source, key, f"{printable(key.value)} is there twice; remove one")
        own[key.value] = (key, item)
    return {**merged, **own}


def fault(source: str, node: yaml.Node, message: str) -> NoReturn:
    """Raise a `ConfigError` about a node, with its place."""
    raise ConfigError(f"{_place(source, node.start_mark)}: {message}")


def line(node: yaml.Node) -> int:
    """The number of the line in which a node begins, from 1."""
    return node.start_mark.line + 1


def position(source: str, before: str) -> str:
    """The place that follows the text `before`, as `source:line:column`."""
    lines = before.split("\n")
    return f"{printable(source)}:{len(lines)}:{len(lines[-1]) + 1}"


def _place(source: str, mark: yaml.Mark | None) -> str:
    return f"{printable(source)}:{mark.line + 1}:{mark.column + 1}" if mark else printable(source)


# ---- writing


def node_of(value: Any) -> yaml.Node:
    """A value as YAML that reads back as a value which validates to the same."""
    import yaml

    if isinstance(value, Mapping):
        items = [(node_of(str(key)), node_of(item)) for key, item in value.items()]
        return yaml.MappingNode(MAPPING, items, flow_style=False)
    if isinstance(value, (list, tuple, set, frozenset)):
        return yaml.SequenceNode(LIST, [node_of(item) for item in value], flow_style=False)
    if value is None:
        return yaml.ScalarNode(NULL, "null")
    if type(value) in (str, int, float):
        text = str(value)
        # Escaped, since PyYAML's other styles lose some line breaks.
        return yaml.ScalarNode(TEXT, text, style=None if text.isprintable() else '"')
    if isinstance(value, bool):
        return yaml.ScalarNode(TEXT, str(value).lower())
    return node_of(to_jsonable_python(value))


def put(mapping: yaml.Node, name: str, item: yaml.Node) -> None:
    """Set an item of a mapping, in the place that it has or at the end."""
    for index, (key, _) in enumerate(mapping.value):
        if key.value == name and key.tag != _MERGE:
            mapping.value[index] = (key, item)
            return
    mapping.value.append((node_of(name), item))


def serialized(root: yaml.Node) -> bytes:
    """A document as UTF-8."""
    import yaml

    _, dumper = _dialect()
    return yaml.serialize(root, Dumper=dumper, allow_unicode=True, width=1 << 30).encode()
