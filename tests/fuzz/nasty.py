"""What has broken readers of files: values, keys and cells, as they stand in a text."""

LONG = "x" * 100_000
DEEP = 3_000
"""Levels of nesting, more than Python's stack has."""

CODE = (
    *("os:system", "os:mkdir", "shutil:rmtree", "subprocess:run", "builtins:eval", "builtins:exec", "pathlib:Path"),
    *("fuzz_canary:Canary", "fuzz_canary:called", "fuzz_canary:Canary.method", "fuzz_canary:os.system", "no_such:Name"),
    *(
        "mtl_search.internal.files:write_text",
        "torch:load",
        "sys:exit",
        "os:abort",
        "antigravity:x",
        ":",
        "a:",
        ":b",
        "a:b:c",
    ),
)
"""Names of code, as ``module:Name``; what is called of it would be seen."""

TEXTS = (
    "",
    " ",
    "\x1b[31mred\x1b[0m",
    "two\nlines",
    "tab\there",
    "bell\x07",
    "nul\x00",
    "=cmd|' /C calc'!A1",
    "@SUM(1)",
    "../../../etc/passwd",
    "/etc/passwd",
    "/dev/zero",
    *CODE,
    "<script>alert(1)</script>",
    "{{ 7 * 7 }}",
    "%s%n",
    "\u202eright to left",
    "nicht \u00fcberall",
    "e\u0301",
    "\ufeffmark",
    "\U0001f600",
    "train",
    "multi_mnist",
    "accuracy",
    "1e5",
    "0x10",
    "nan",
    "true",
    "null",
    "x" * 300,
    LONG,
)

NUMBERS = (
    *("0", "-0.0", "-1", "1", "2", "0.5", "255", "65536", "100000000", "1000000000", "2147483648"),
    *("9223372036854775808", "-9223372036854775809", "1e308", "1e999", "-1e999", "1e-320", "9" * 6_000),
    *("0." + "3" * 6_000, "1e9999999"),
)

JSON = (
    *NUMBERS,
    *("NaN", "Infinity", "-Infinity", "null", "true", "false", "[]", "{}", "[[]]", "[null]", '""'),
    *('"\\ud800"', '"\\udfff\\ud800"', '"\\u0000"', '{"a": 1, "a": 2}', '{"": ""}', '{"__proto__": 1}'),
    "[" * DEEP + "]" * DEEP,
    '{"a":' * DEEP + "1" + "}" * DEEP,
    "[" * 100_000 + "]" * 100_000,
    "[" + "1," * 30_000 + "1]",
    "{" + ",".join(f'"k{number}": {number}' for number in range(20_000)) + "}",
    "[1, 2",
    "01",
    "'single'",
    "// comment",
)

LAUGHS = ", ".join(f"&l{n} [{', '.join(['*l' + str(n - 1)] * 9)}]" if n else "&l0 [ha]" for n in range(12))
MERGES = ", ".join(
    f"k{n}: &m{n} {{<<: [{', '.join(['*m' + str(n - 1)] * 9)}], a{n}: 1}}" if n else "k0: &m0 {a: 1}" for n in range(12)
)

YAML = (
    *NUMBERS,
    *(".nan", ".inf", "-.inf", "~", "null", "true", "yes", "on", "[]", "{}", "[[]]", "[~]", '""', "''"),
    *("1_000", "0x10", "0b11", "010", "0o7", "1:30", "1:30.5", "190:20:30:40", "1.0", "1e5", "1.5e+3", "+1", ".5"),
    *("2026-01-02", "2026-13-01", "99999-01-01", "2026-01-02T10:00:00Z", "0001-01-01 00:00:00 +23:59", "=", "<<"),
    *("!!binary aGVsbG8=", "!!binary '!'", "!!set {a, b}", "!!omap [a: 1]", "!!pairs [a: 1]", "!!int x", "!!str 1"),
    *("!!float x", "!!bool x", "!!timestamp x", "!!null x", "!unknown x", "!!map [a]", "!!seq {a: 1}"),
    "!!python/object/apply:os.system ['true']",
    "!!python/name:os.system",
    "!!python/module:fuzz_canary",
    "&a [*a]",
    "&a {a: *a}",
    "*nothing",
    f"[{LAUGHS}]",
    f"{{{MERGES}}}",
    "{<<: 1}",
    "{<<: {a: 1}, a: 2}",
    "{[1, 2]: 3}",
    "{{a: 1}: 3}",
    "{? &k [*k] : 1}",
    "{~: 1, 1: 2, 1.5: 3, true: 4}",
    '"\\ud800"',
    '"\\x07"',
    '"\\0"',
    "[" * DEEP + "]" * DEEP,
    "{a: " * DEEP + "1" + "}" * DEEP,
    "[" + "1, " * 5_000 + "1]",
    "{" + ", ".join(f"k{number}: 1" for number in range(5_000)) + "}",
    "[1, 2",
    "'open",
    "a: b: c",
    "- a",
    "\t",
    "%YAML 9.9",
    "---",
    "|",
    "@",
    "`",
)

CELLS = (
    *TEXTS,
    *("NA", "N/A", "NaN", "inf", "-inf", "1e400", "-0", "+1", "1,5", "1.234,5", "1,234.5", "1 234", "1_000", "1E1"),
    *("\u0663", "\u00bd", "0x1F", "True", "FALSE", "yes", "no", "01", "001", "1.0", "9" * 400, "0.1e-400", "#REF!"),
    *("2026-01-02", "02.01.2026", "12:30", "5 %", "$5", "3+4j", "16777217", "1700000000", "9007199254740993"),
    *('"', '""', "'", ";", "\\", "\r", '"a\nb"', "pictures/0.png", "pictures", "..", "C:\\a.png", "pictures/0.png/"),
)
