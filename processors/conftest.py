"""The examples are tested as their authors would: installed, by a pytest of their own (tests/processors)."""

collect_ignore = ["examples"]
