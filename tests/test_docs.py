"""Documentation is read from the classes."""

from pathlib import Path
from typing import Any

from support.configs import PARTS

from shipper import docs
from shipper.config.model import Config
from shipper.plugins import KINDS, SOURCE, Finder, standard_class, standard_names


def probe(folder: Path) -> type[Any]:
    (folder / "parts.py").write_text(PARTS)
    return Finder().find(SOURCE, "./parts.py:Probe", folder)


def test_a_class_documents_itself(tmp_path: Path) -> None:
    assert docs.summary(probe(tmp_path)) == "A source with a setting of every type."


def test_a_string_under_an_attribute_documents_it_also_when_it_is_inherited(tmp_path: Path) -> None:
    texts = docs.attribute_texts(probe(tmp_path))
    assert texts["text"] == "Any text."
    assert texts["labels"] == "Labels on every record of this source."
    assert "maybe" not in texts


def test_settings_come_with_what_they_take_and_their_default(tmp_path: Path) -> None:
    settings = {setting.name: setting for setting in docs.describe(probe(tmp_path))}
    assert list(settings)[:3] == ["text", "maybe", "number"]
    assert list(settings)[-2:] == ["labels", "processors"], "what is inherited comes last"
    assert {name: (settings[name].words, settings[name].default) for name in ("mode", "size", "maybe", "switch")} == {
        "mode": ("one of 'fast', 'safe'", "fast"),
        "size": ("a size such as 4096, 256KiB or 1GiB", "1B"),
        "maybe": ("text or nothing", ""),
        "switch": ("true or false", "false"),
    }
    assert (settings["names"].default, settings["color"].default) == ("[]", "red")
    assert [cls.__name__ for cls in docs.nested_structs(settings["several"].type)] == ["Inner"]


def test_every_setting_of_the_program_itself_is_documented() -> None:
    missing = [f"Config.{s.name}" for s in docs.describe(Config) if not s.text and not docs.nested_structs(s.type)]
    for kind in KINDS:
        for name in standard_names(kind):
            cls = standard_class(kind, name)
            assert cls is not None
            assert docs.summary(cls), f"{kind.noun} {name} has no docstring"
            missing += [
                f"{name}.{s.name}" for s in docs.describe(cls) if not s.text and not docs.nested_structs(s.type)
            ]
    assert missing == []
